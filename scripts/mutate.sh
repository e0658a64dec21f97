#!/usr/bin/env bash
# Change the code in one place after another and see which changes no test notices: do the tests bite?
# Works on a copy of the last commit below build/mutants, with mutmut in an environment of its own; takes minutes.
#
#   scripts/mutate.sh                                  the modules named below
#   scripts/mutate.sh ipinsights/data/ipv4.py:tests/unit/test_ipv4.py     others, each with the tests that should notice
set -eu
cd "$(dirname "$0")/.."
place=$PWD/build/mutants
[ $# -gt 0 ] || set -- \
    ipinsights/config/hyperparameters.py:tests/unit/test_hyperparameters.py \
    ipinsights/model/sampling.py:tests/unit/test_sampling.py \
    ipinsights/data/pairs.py:tests/unit/test_pairs.py \
    ipinsights/serving/media_types.py:tests/unit/test_media_types.py \
    ipinsights/serving/requests.py:tests/unit/test_requests.py \
    ipinsights/serving/responses.py:tests/unit/test_responses.py

rm -rf "$place" && mkdir -p "$place"
git archive HEAD | tar -x -C "$place"
.venv/bin/python -m venv "$place/.venv"
.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
    > "$(echo "$place"/.venv/lib/python*/site-packages)/dependencies.pth"
"$place/.venv/bin/python" -m pip install --quiet 'mutmut>=3.8,<4'

cd "$place"
list() { printf '"%s", ' "$@"; }
{
    echo '[tool.mutmut]'
    echo "paths_to_mutate = [$(list "${@%%:*}")]"
    echo "tests_dir = [$(list "${@##*:}")]"
    echo 'also_copy = ["benchmarks", "docker", "docs", "ipinsights", "pyproject.toml", "scripts", "setup.py", "tests"]'
} >> pyproject.toml
# One order, and the same examples each time: a mutant must not live or die by chance.
sed -i 's/^addopts = "/&-p no:randomly -p no:cacheprovider /; s/^timeout = .*/timeout = 60/' pyproject.toml
cat >> tests/conftest.py <<'END'

from hypothesis import HealthCheck, settings

settings.register_profile("mutants", database=None, derandomize=True, deadline=None,
                          suppress_health_check=list(HealthCheck), max_examples=50)
settings.load_profile("mutants")
END
.venv/bin/mutmut run --max-children 1
.venv/bin/mutmut results
