"""What the commands that do not train print and write."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from .builds import case
from .golden import transcript

if TYPE_CHECKING:
    from .builds import Build, Case
    from .golden import Golden

pytestmark = pytest.mark.slow

# These read and write text and integers only.
EXACT = (
    case("hyperparameters", "hyperparameters"),
    case("hyperparameters-json", "hyperparameters --json"),
    case("extract-apache", "extract logs/apache.log --format apache"),
    case("extract-apache-path", "extract logs/apache.log --format apache --path ^/login$ --status 200,302"),
    case("extract-apache-where", "extract logs/apache.log --format apache --where method=POST --where agent=curl/8"),
    case("extract-apache-gz", "extract logs/apache.log.gz --format apache --no-timestamps -o a.csv", outputs="a.csv"),
    case("extract-nginx", "extract logs/nginx.log --format nginx"),
    case(
        "extract-nginx-stdin",
        "extract - --format nginx",
        stdin=b'192.0.2.1 - a [29/Feb/2024:23:59:59 +0000] "-" 200 1\n',
    ),
    case("extract-two-logs", "extract logs/apache.log logs/nginx.log --format apache"),
    case("extract-sshd", "extract logs/sshd.log --format sshd --year 2023"),
    case("extract-sshd-zone", "extract logs/sshd.log --format sshd --year 2023 --timezone Europe/Berlin"),
    case("extract-sshd-where", "extract logs/sshd.log --format sshd --year 2023 --where event=Accepted"),
    case("extract-cloudtrail", "extract logs/cloudtrail.json --format cloudtrail"),
    case(
        "extract-cloudtrail-lines", "extract logs/cloudtrail.jsonl --format cloudtrail --where eventName=ConsoleLogin"
    ),
    case("extract-cloudtrail-entity", "extract logs/cloudtrail.json --format cloudtrail --entity userIdentity.type"),
    case("extract-vpcflow", "extract logs/flow.log --format vpcflow"),
    case(
        "extract-vpcflow-fields", "extract logs/flow.log --format vpcflow --entity dstport --ip dstaddr --timestamp end"
    ),
    case("extract-vpcflow-own", "extract logs/own-flow.log --format vpcflow --ip pkt-srcaddr"),
    case("extract-csv", "extract logs/table.csv --format csv"),
    case("extract-csv-where", "extract logs/table.csv --format csv --where kind=b --timezone America/New_York"),
    case("extract-csv-bare", "extract logs/bare.csv --format csv"),
    case("extract-csv-utf16", "extract logs/utf16.csv --format csv --entity who --ip from --timestamp when"),
    case("extract-jsonl", "extract logs/records.jsonl --format jsonl"),
    case("extract-jsonl-nested", "extract logs/records.jsonl --format jsonl --entity login.user --where login.ok=true"),
    case("extract-parquet", "extract logs/table.parquet --format parquet"),
    case("extract-parquet-zone", "extract logs/table.parquet --format parquet --timezone Asia/Tokyo"),
    case("split-at", "split events.csv -o parts --at 2024-01-07", outputs="parts/train.csv parts/test.csv"),
    case(
        "split-calibration",
        "split events.csv -o parts --at 2024-01-08T12:00:00Z --calibration-at 2024-01-06 --seed 3",
        outputs="parts/train.csv parts/calibration.csv parts/test.csv",
    ),
    case(
        "split-fraction",
        "split events.csv -o parts --fraction 0.6 0.2 0.2 --keep-timestamps",
        outputs="parts/train.csv parts/calibration.csv parts/test.csv",
    ),
    case("compare-list", "compare runs"),
    case("compare-better", "compare runs/worse-auc.log runs/ours.log"),
    case(
        "compare-worse", "compare runs/ours.log runs/worse-auc.log --json c.json --markdown c.md", outputs="c.json c.md"
    ),
    case("compare-tolerant", "compare runs/ours.log runs/worse-auc.log --tolerance auc=0.9 --tolerance throughput=99%"),
    case("compare-ignored", "compare runs/ours.log runs/worse-auc.log --ignore auc"),
    case("compare-original", "compare runs/sagemaker-python3.7.log runs/ours.log"),
    case("compare-hosts", "compare runs/two-hosts.log runs/ours.log"),
    case("compare-stdin", "compare runs/ours.log -", stdin=b"no metrics\n"),
)

# These write numbers that depend on the processor: the golden files are compared with a tolerance, the base exactly.
FLOATING = (
    case("inspect", "inspect model"),
    case("inspect-json", "inspect model/model_algo-1 --json"),
    case("inspect-archive", "inspect model.tar.gz"),
    case("score", "score pairs.csv --model-dir model"),
    case("score-extended", "score pairs.csv --model-dir model --extended"),
    case("score-gz", "score pairs.csv.gz --model-dir model.tar.gz -o scores.csv", outputs="scores.csv"),
    case("score-stdin", "score - --model-dir model/model_algo-1", stdin=b"user_1,9.8.7.6\nnobody,1.2.3.4\n"),
    case("score-columns", "score extra-columns.csv --model-dir model --keep-columns"),
    case("score-threshold", "score pairs.csv --model-dir model --threshold threshold.json"),
    case("score-guarded", "score extra-columns.csv --model-dir guarded --extended --keep-columns"),
    case("score-unguarded", "score pairs.csv --model-dir guarded"),
    case("transform", "transform pairs.csv --model-dir model --output-dir out", outputs="out/pairs.csv.out"),
    case(
        "transform-json",
        "transform pairs.csv --model-dir model --output-dir out --accept application/json",
        outputs="out/pairs.csv.out",
    ),
    case(
        "transform-verbose",
        "transform entities.csv --model-dir guarded --output-dir out --accept 'application/jsonlines; verbose=True'",
        outputs="out/entities.csv.out",
    ),
    case(
        "transform-extended",
        "transform pairs.csv --model-dir guarded --output-dir out --accept 'application/json; extended=true'",
        outputs="out/pairs.csv.out",
    ),
    case(
        "transform-lines",
        "transform pairs.jsonl --model-dir model --output-dir out --content-type application/jsonlines --concurrency 1",
        outputs="out/pairs.jsonl.out",
    ),
    case(
        "transform-instances",
        "transform pairs.json --model-dir model --output-dir out --content-type application/json",
        outputs="out/pairs.json.out",
    ),
    case(
        "transform-folder",
        "transform tests --model-dir model --output-dir out",
        "transform tests --model-dir model --output-dir out",
        outputs="out/a.csv.out out/b.csv.out out/tests/a.csv.out",
    ),
    case("embeddings-entities", "embeddings --model-dir model --entities entities.txt -o e.csv", outputs="e.csv"),
    case("embeddings-ips", "embeddings --model-dir model --ips ips.txt -o e.csv", outputs="e.csv"),
    case("embeddings-npz", "embeddings --model-dir model --entities entities.txt -o e.npz", outputs="e.npz"),
    case("embeddings-parquet", "embeddings --model-dir model --ips ips.txt -o e.parquet", outputs="e.parquet"),
    case(
        "threshold",
        "threshold --model-dir model --calibration calibration.csv --fpr 0.05",
        outputs="model/threshold.json",
    ),
    case(
        "threshold-allow",
        "threshold --model-dir model --calibration train.csv --fpr 0.1 --allow 10.0.0.0/8 --allow 8.8.8.8 -o t.json",
        "score pairs.csv --model-dir model --threshold t.json",
        outputs="t.json",
    ),
    case("explain", "explain user_1 8.8.8.8 --model-dir model --train train.csv"),
    case("explain-usual", "explain user_0 167.4.179.113 --model-dir guarded --train train.csv"),
    case(
        "explain-json", "explain user_1 8.8.8.8 --model-dir model --train train.csv --threshold threshold.json --json"
    ),
    case("explain-unknown", "explain nobody 8.8.8.8 --model-dir guarded --train train.csv"),
    case("evaluate", "evaluate --model-dir model --train train.csv --test test.csv"),
    case(
        "evaluate-all",
        "evaluate --model-dir model --train train.csv --test test.csv --calibration calibration.csv"
        " --asn-table asn.tsv --log runs/ours.log --report report --seed 4",
        outputs="report/report.json report/model_card.md",
    ),
    case(
        "simulate",
        "simulate --users 12 --days 3 -o made --seed 5",
        outputs="made/train.csv made/validation.csv made/test.csv made/access.log",
    ),
    case(
        "simulate-ranges",
        "simulate --users 12 --days 3 -o made --no-access-log --asn-table asn.tsv",
        outputs="made/train.csv made/validation.csv made/test.csv made/access.log",
    ),
)


@pytest.mark.parametrize("given", EXACT, ids=str)
def test_text_is_the_golden_file_s(given: Case, head: Build, golden: Golden) -> None:
    """A command on text and integers prints and writes what it always did."""
    text = transcript(head.run(given))
    assert "more lines)" not in text
    golden.check(f"outputs/{given}", text)


@pytest.mark.parametrize("given", FLOATING, ids=str)
def test_numbers_are_close_to_the_golden_file_s(given: Case, head: Build, golden: Golden) -> None:
    """The output of a command that computes is the golden file's, up to last digits."""
    golden.check(f"outputs/{given}", transcript(head.run(given)), close=True)


@pytest.mark.parametrize("given", [given for given in FLOATING if not given.name.startswith("evaluate")], ids=str)
def test_bytes_are_the_base_s(given: Case, head: Build, base: Build) -> None:
    """The output of a command that computes is that of the base commit, to the byte."""
    found, expected = head.run(given), base.run(given)
    assert found.done == expected.done
    for name in given.outputs:
        assert found.output(name) == expected.output(name), name


def test_an_evaluation_has_the_values_of_the_base(head: Build, base: Build) -> None:
    """The words of an evaluation have changed since the base commit, and none of its numbers."""
    (given,) = (given for given in FLOATING if given.name == "evaluate-all")
    found, expected = (json.loads(build.run(given).output("report/report.json") or b"") for build in (head, base))
    for name in ("facts", "slices", "detection", "differences_to_best_baseline", "alerts"):
        assert found[name] == expected[name], name
