"""Commands of pages that need nothing but files: each is typed in a folder that has them."""

from __future__ import annotations

import gzip
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from ipinsights.data.ipv4 import format_ips
from ipinsights.model import mxnet_package
from ipinsights.testing import PlantedNetworks

from .shell import run_script

ROOT = Path(__file__).parents[2]
MARKED = re.compile(
    r"^<!-- checked by: tests/integration/test_how_to_commands\.py::\w+ -->\n```sh\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
LOG_LINE = '192.0.2.7 - ann [10/Nov/2018:08:15:01 +0000] "POST /login HTTP/1.1" 200 2 "-" "x"\n'
# A page, and files that its commands write.
WRITTEN = {
    "docs/explanation/encoder.md": (),
    "docs/explanation/evaluation.md": ("model/model_algo-1", "report/report.html"),
    "docs/how-to/coming-from-sagemaker.md": (),
    "docs/how-to/extract-from-logs.md": ("logins.csv",),
    "docs/how-to/is-the-new-model-worse.md": ("runs/today.log", "runs/seed-4.log", "model-4/model_algo-1"),
    "docs/how-to/run-every-night.md": ("rows/2018-11-10.csv",),
    "docs/how-to/several-hosts.md": ("model/model_algo-1",),
    "docs/how-to/stop-and-resume.md": ("model/model_algo-1", "checkpoints"),
    "docs/how-to/tune.md": ("best.json", "search.png", "model/model_algo-1"),
}
NEEDS_MXNET = ("docs/how-to/several-hosts.md",)


def write_inputs(folder: Path) -> None:
    """Write the files that the pages speak of, with rows of 60 entities.

    Half of the labelled rows are attacks.
    """
    rng = np.random.default_rng(8)
    planted = PlantedNetworks.draw(60, rng=rng)
    for name, num_rows in (("train", 3000), ("validation", 500), ("logins", 1000)):
        rows = planted.csv(num_rows, rng=rng)
        (folder / f"{name}.csv").write_text(rows)
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(rows.encode()))
    labelled = ""
    for draw, label in ((planted.normal, 0), (planted.odd, 1)):
        entities, ips = draw(300, rng=rng)
        pairs = zip(planted.names(entities), format_ips(ips).to_pylist(), strict=True)
        labelled += "".join(f"{entity},{ip},{label}\n" for entity, ip in pairs)
    (folder / "test.csv").write_text(labelled)
    (folder / "test_case.csv.gz").write_bytes(gzip.compress(labelled.encode()))
    table = ROOT / "tests" / "contract" / "inputs" / "asn.tsv"
    (folder / "ip2asn-v4-u32.tsv").write_text(table.read_text(encoding="utf-8"))
    (folder / "export.csv").write_text("user,address\nann,192.0.2.7\n")
    (folder / "access.log.2.gz").write_bytes(gzip.compress(LOG_LINE.encode()))
    for name, log in (("cloudwatch", "sagemaker-python3.8"), ("train", "ours")):
        text = (ROOT / "tests" / "data" / "logs" / f"{log}.log").read_text(encoding="utf-8")
        (folder / f"{name}.log").write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted(WRITTEN), ids=lambda page: Path(page).stem)
def test_commands_of_pages_run(page: str, tmp_path: Path) -> None:
    """The marked blocks of a page run in their order, and write the files that they name."""
    if page in NEEDS_MXNET and not mxnet_package.is_installed():
        pytest.skip("needs MXNet")
    write_inputs(tmp_path)
    blocks = MARKED.findall((ROOT / page).read_text(encoding="utf-8"))
    assert blocks
    script = "".join(blocks).replace(".venv/bin/python", sys.executable).replace(" scripts/", f" {ROOT}/scripts/")
    done = run_script(script, tmp_path)
    # `compare` ends with 1 where the candidate is worse.
    assert done.returncode == 0 or (done.returncode == 1 and "REGRESSION" in done.stdout), done.stderr
    assert [name for name in WRITTEN[page] if not (tmp_path / name).exists()] == []
