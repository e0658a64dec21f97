"""Exit codes and messages of calls that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .builds import case
from .golden import transcript

if TYPE_CHECKING:
    from .builds import Build, Case
    from .golden import Golden

pytestmark = pytest.mark.slow

SIZES = "-H num_entity_vectors=60 -H vector_dim=8"
TRAIN = "train --train train.csv --model-dir new"


def trained_with(**hyperparameters: object) -> str:
    """Return a command that trains with hyperparameters besides the sizes."""
    given = {"num_entity_vectors": 60, "vector_dim": 8, **hyperparameters}
    return " ".join([TRAIN, *(f"-H {name}={value}" for name, value in given.items())])


# The messages of click differ between its versions: only the exit code is frozen.
OF_CLICK = (
    "", "trian", "train --no-such-option", "train --hosts 0", "train --hosts many", "train --max-seconds 0",
    "train --seed -1", "train --keep-checkpoints 0", "train --early-stopping-patience 0", "train --epochs 3",
    "score", "score pairs.csv", "score pairs.csv --model-dir", "score --model-dir model",
    "threshold --model-dir model --calibration calibration.csv", "threshold --model-dir model --fpr much",
    "serve --port 65536", "serve --model-dir model --workers 0", "serve --model-dir model --timeout 0",
    "serve --model-dir model --max-payload-mb 0", "serve --model-dir model --max-payload-mb 101",
    "transform --model-dir model --output-dir out", "transform pairs.csv --model-dir model --output-dir pairs.csv",
    "extract logs/apache.log", "extract logs/apache.log --format iis", "extract --format apache",
    "split events.csv --at 2024-01-07", "split events.csv -o parts --fraction 0.5 0.5",
    "simulate --users 12", "simulate --users few -o made", "simulate -o pairs.csv",
    "tune --train train.csv --validation validation.csv", "explain user_1 --model-dir model --train train.csv",
    "evaluate --model-dir model --train train.csv", "compare", "inspect", "hyperparameters --yaml",
    "embeddings --model-dir model --ips ips.txt",
)  # fmt: skip

OURS = (
    case("train-nothing", "train"),
    case("train-no-model-dir", "train --train train.csv"),
    case("train-both", "train --base-dir ml --train train.csv"),
    case("train-hosts-and-base-dir", "train --base-dir ml --hosts 2"),
    case("train-option-for-hyperparameter", "train --vector-dim 8"),
    case("train-assignment", f"{TRAIN} -H epochs"),
    case("train-checkpoint-every", f"{TRAIN} {SIZES} --checkpoint-every often"),
    case("train-required", f"{TRAIN} -H num_entity_vectors=60"),
    case("train-required-map", TRAIN + " --hyperparameters {}"),
    case("train-unknown", trained_with(epoch=3)),
    case("train-many-faults", trained_with(epochs=0, learning_rate="nan", mini_batch_size=1.5, weight_decay=-1)),
    case("train-epochs-text", trained_with(epochs="ten")),
    case("train-epochs-empty", trained_with(epochs="")),
    case("train-dim-small", trained_with(vector_dim=3)),
    case("train-dim-large", trained_with(vector_dim=4097)),
    case("train-layers", trained_with(num_ip_encoder_layers=101)),
    case("train-no-negatives", trained_with(random_negative_sampling_rate=0, shuffled_negative_sampling_rate=0)),
    case("train-negatives", trained_with(random_negative_sampling_rate=400, shuffled_negative_sampling_rate=101)),
    case("train-table", trained_with(num_entity_vectors=250_000_000, vector_dim=4096)),
    case("train-kvstore", trained_with(_kvstore="remote")),
    case("train-log-level", trained_with(_log_level="loud")),
    case("train-missing-map", f"{TRAIN} --hyperparameters none.json"),
    case("train-map-list", f"{TRAIN} --hyperparameters list.json"),
    case("train-map-twice", f"{TRAIN} --hyperparameters wrong.json"),
    case("train-map-text", f"{TRAIN} --hyperparameters '{{no json}}'"),
    case("train-missing-data", f"train --train none.csv --model-dir new {SIZES}"),
    case("train-empty-data", f"train --train empty.csv --model-dir new {SIZES}"),
    case("train-empty-folder", f"train --train no-model --model-dir new {SIZES}"),
    case("train-ipv6", f"train --train ipv6.csv --model-dir new {SIZES}"),
    case("train-bad-address", f"train --train bad-address.csv --model-dir new {SIZES}"),
    case("train-leading-zero", f"train --train leading-zero.csv --model-dir new {SIZES}"),
    case("train-three-columns", f"train --train three-columns.csv --model-dir new {SIZES}"),
    case("train-one-column", f"train --train one-column.csv --model-dir new {SIZES}"),
    case("train-no-entity", f"train --train no-entity.csv --model-dir new {SIZES}"),
    case("train-header", f"train --train header.csv --model-dir new {SIZES}"),
    case("train-ragged", f"train --train ragged.csv --model-dir new {SIZES}"),
    case("train-not-utf8", f"train --train bytes.csv --model-dir new {SIZES}"),
    case("train-cut-gzip", f"train --train packed.csv --model-dir new {SIZES}"),
    case("train-bad-validation", f"{TRAIN} {SIZES} --validation bad-address.csv"),
    case("train-patience", f"{TRAIN} {SIZES} --early-stopping-patience 2"),
    case("train-model-dir-is-a-file", f"train --train train.csv --model-dir pairs.csv/new {SIZES}"),
    case("train-initial-missing", f"{TRAIN} {SIZES} --initial-model none"),
    case("train-initial-shape", f"{TRAIN} {SIZES} --initial-model model"),
    case("base-dir-missing", "train --base-dir none", outputs="none/output/failure"),
    case("base-dir-wrong", "train --base-dir ml-wrong", outputs="ml-wrong/output/failure"),
    case("base-dir-no-train", "train --base-dir ml-no-train", outputs="ml-no-train/output/failure"),
    case("base-dir-pipe", "train --base-dir ml-pipe", outputs="ml-pipe/output/failure"),
    case("base-dir-json", "train --base-dir ml-json", outputs="ml-json/output/failure"),
    case("base-dir-model", "train --base-dir ml-model", outputs="ml-model/output/failure"),
    case("base-dir-broken", "train --base-dir ml-broken", outputs="ml-broken/output/failure"),
    case("score-missing", "score none.csv --model-dir model"),
    case("score-empty", "score empty.csv --model-dir model"),
    case("score-ipv6", "score ipv6.csv --model-dir model -o s.csv", outputs="s.csv"),
    case("score-header", "score header.csv --model-dir model"),
    case("score-columns", "score extra-columns.csv --model-dir model"),
    case("score-stdin", "score - --model-dir model", stdin=b"u,1.2.3.4\nv\n"),
    case("score-no-threshold", "score pairs.csv --model-dir model --threshold none.json"),
    case("score-wrong-threshold", "score pairs.csv --model-dir model --threshold wrong.json"),
    case("score-output", "score pairs.csv --model-dir model -o none/s.csv"),
    *(case(f"model-{name}", f"score pairs.csv --model-dir {name}")
      for name in ("none", "no-model", "truncated", "text", "empty", "pairs.csv.gz")),
    case("inspect-missing", "inspect none"),
    case("inspect-damaged", "inspect truncated"),
    case("embeddings-neither", "embeddings --model-dir model -o e.csv"),
    case("embeddings-both", "embeddings --model-dir model --ips ips.txt --entities entities.txt -o e.csv"),
    case("embeddings-ending", "embeddings --model-dir model --ips ips.txt -o e.txt"),
    case("embeddings-empty", "embeddings --model-dir model --entities bad-entities.txt -o e.csv", outputs="e.csv"),
    case("embeddings-address", "embeddings --model-dir model --ips bad-ips.txt -o e.csv", outputs="e.csv"),
    case("threshold-rate", "threshold --model-dir model --calibration calibration.csv --fpr 1.5"),
    case("threshold-few", "threshold --model-dir model --calibration entities.csv --fpr 0.01"),
    case("threshold-network", "threshold --model-dir model --calibration train.csv --fpr 0.1 --allow 10.0.0.0/33"),
    case("explain-address", "explain user_1 here --model-dir model --train train.csv"),
    case("explain-ipv6", "explain user_1 2001:db8::1 --model-dir model --train train.csv"),
    case("evaluate-label", "evaluate --model-dir model --train train.csv --test extra-columns.csv"),
    case("evaluate-few", "evaluate --model-dir model --train train.csv --test three-columns.csv"),
    case("serve-neither", "serve"),
    case("serve-both", "serve --model-dir model --base-dir ml"),
    case("serve-missing", "serve --model-dir none --port 0"),
    case("serve-damaged", "serve --model-dir truncated --port 0"),
    case("serve-host", "serve --model-dir model --host 192.0.2.1 --port 0"),
    case("transform-missing", "transform none.csv --model-dir model --output-dir out"),
    case("transform-bad-row", "transform bad-address.csv --model-dir model --output-dir out",
         outputs="out/bad-address.csv.out"),
    case("transform-type", "transform pairs.csv --model-dir model --output-dir out --content-type text/xml"),
    case("transform-accept", "transform pairs.csv --model-dir model --output-dir out --accept text/csv"),
    case("extract-missing", "extract none.log --format apache"),
    case("extract-nothing", "extract logs/sshd.log --format apache -o a.csv", outputs="a.csv"),
    case("extract-times", "extract logs/table.csv --format csv --timestamp timestamp --no-timestamps"),
    case("extract-column", "extract logs/table.csv --format csv --entity user"),
    case("extract-field", "extract logs/flow.log --format vpcflow --entity user"),
    case("extract-path", "extract logs/sshd.log --format sshd --path login"),
    case("extract-regex", "extract logs/apache.log --format apache --path ("),
    case("extract-where", "extract logs/apache.log --format apache --where method"),
    case("extract-zone", "extract logs/table.csv --format csv --timezone Mars/Olympus"),
    case("extract-parquet", "extract logs/table.csv --format parquet"),
    case("split-neither", "split events.csv -o parts"),
    case("split-both", "split events.csv -o parts --at 2024-01-07 --fraction 0.5 0.3 0.2"),
    case("split-time", "split events.csv -o parts --at tomorrow"),
    case("split-order", "split events.csv -o parts --at 2024-01-05 --calibration-at 2024-01-06"),
    case("split-nothing", "split events.csv -o parts --at 2030-01-01"),
    case("split-shares", "split events.csv -o parts --fraction 0.5 0.5 0.5"),
    case("split-no-times", "split pairs.csv -o parts --at 2024-01-07"),
    case("simulate-users", "simulate --users 1 -o made"),
    case("simulate-days", "simulate --users 12 --days 2 -o made"),
    case("simulate-table", "simulate --users 12 --days 3 -o made --asn-table pairs.csv"),
    case("tune-unknown", "tune --train train.csv --validation validation.csv --study s.db --tune speed"),
    case("tune-range", "tune --train train.csv --validation validation.csv --study s.db --tune epochs=5:1"),
    case("compare-missing", "compare none.log runs/ours.log"),
    case("compare-no-metrics", "compare pairs.csv runs/ours.log"),
    case("compare-tolerance", "compare runs/ours.log runs/ours.log --tolerance auc"),
    case("compare-metric", "compare runs/ours.log runs/ours.log --ignore speed"),
    case("compare-empty-folder", "compare no-model"),
)  # fmt: skip


@pytest.mark.parametrize("command", OF_CLICK)
def test_a_wrong_option_ends_with_2(command: str, head: Build) -> None:
    """What click refuses is the user's fault, and is told on standard error without a traceback."""
    (done,) = head.run(case(command, command)).done
    assert done.code == 2
    assert done.stdout == b""
    assert b"Error: " in done.stderr or done.stderr.startswith(b"Usage: ")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("given", OURS, ids=str)
def test_exit_code_and_message_are_the_golden_file_s(given: Case, head: Build, golden: Golden) -> None:
    """A call that fails ends with the same code and message, and leaves the same files."""
    golden.check(f"errors/{given}", transcript(head.run(given)))
