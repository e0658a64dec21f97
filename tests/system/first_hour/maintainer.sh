#!/bin/bash
# A maintainer-to-be: what there is, how to change it, and how to report what is wrong.
source "${BASH_SOURCE%/*}/steps.sh"
export PATH=$PWD/.venv/bin:$PATH

# What a repository has.
for file in LICENSE SECURITY.md CODE_OF_CONDUCT.md CONTRIBUTING.md RELEASING.md CITATION.cff CHANGELOG.md .readthedocs.yaml \
    .github/pull_request_template.md .github/ISSUE_TEMPLATE/bug_report.yml; do
    [[ -s $file ]] || fail "there is no $file"
done
step 0 make help
says '^make install ' '^make test ' '^make check ' '^make release '
step 0 ipinsights --version
version=$(sed 's/.* //' "$printed")
grep --quiet "^version: $version$" CITATION.cff || fail "the citation has another version"

# One test, and the hook that checks the subject of a commit.
step 0 make test ARGS="-n0 -q tests/unit/test_siphash.py"
says '[0-9]+ passed'
git config core.hooksPath .githooks
step 1 git commit --allow-empty --message "Fixed stuff"
says "The subject of a commit must be 'component: imperative summary'"
step 0 git commit --allow-empty --message "tests: try the hook"
touch unfinished
git add unfinished
step 1 python scripts/release.py --check
says 'commit|clean'

# Help: every command by what it is for, whole at 80 columns, with examples and exit codes.
on_terminal 0 80 "ipinsights --help"
says '^Prepare data:' '^Train:' '^Judge:' '^Score:' '^Exit codes:' '^  extract +[A-Z].*\.$'
says_nothing_of '[a-z]\.\.\.$'
[[ $(wc --max-line-length < "$printed") -le 80 ]] || fail "lines are wider than the terminal"
for command in $(sed -n 's/^  \([a-z]*\)  .*/\1/p' "$printed"); do
    step 0 ipinsights "$command" --help
    says '^Examples:$' "^  (cat .* \| |echo .* \| |cut .*)?ipinsights $command"
done
step 0 ipinsights hyperparameters
says 'num_entity_vectors.*required' 'Rows of the table that entities are hashed into'

# What goes wrong: a wrong command, a missing file, and a bug with what a report needs.
step 2 ipinsights trian
says "No such command 'trian'"
on_terminal 2 80 "ipinsights score none.csv --model-dir model"
says '^error: There is no model at model'
step 1 python -c '
import sys
from ipinsights.cli import main
from ipinsights.model import artifact
def broken(path): raise RuntimeError("broken")
artifact.load = broken
sys.argv = ["ipinsights", "inspect", "tests/data/golden"]
main()
'
says "AlgorithmError: RuntimeError\('broken'\)\. This is a bug in ipinsights $version"
