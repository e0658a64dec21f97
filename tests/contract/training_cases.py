"""Small training jobs for the tests of the log and of the model's bytes."""

from __future__ import annotations

from .builds import Case, case


def job(name: str, options: str = "", *, dim: int = 8, **hyperparameters: object) -> Case:
    """Return a case that trains a small model into `new`."""
    given = {
        "num_entity_vectors": 60, "vector_dim": dim, "epochs": 2, "mini_batch_size": 100, "learning_rate": 0.01,
        **hyperparameters,
    }  # fmt: skip
    words = " ".join(f"-H {name}={value}" for name, value in given.items())
    return case(name, f"train --train train.csv --model-dir new {options} {words}", outputs="new/model_algo-1")


PLAIN = job("plain")
EARLY_STOPPING = job(
    "early-stopping", "--validation validation.csv --early-stopping-patience 1", epochs=12, learning_rate=0.3
)
STEPS = job("checkpoints", "--checkpoint-dir saved --checkpoint-every 2 --keep-checkpoints 9", epochs=3)
_TUNE = (
    "tune --train train.csv --validation validation.csv --study study.db --tune epochs={} --seed 1"
    " -H num_entity_vectors=60 -H vector_dim=8 -H mini_batch_size=100"
)
SEARCH = case(
    "search",
    f"{_TUNE.format('1:3')} --tune learning_rate --trials 1",
    f"{_TUNE.format('1:3')} --tune learning_rate --trials 2 -o best.json",
    outputs="best.json",
)
TRIAL = case("one-trial", f"{_TUNE.format('2:2')} --trials 1")

JOBS = (
    PLAIN,
    job("seed", "--seed 7"),
    job("validation", "--validation validation.csv"),
    job("dim-30", "--validation validation.csv", dim=30),
    job("no-layers", num_ip_encoder_layers=0),
    job("two-layers", num_ip_encoder_layers=2),
    job("random-only", random_negative_sampling_rate=2, shuffled_negative_sampling_rate=0),
    job("shuffled-only", random_negative_sampling_rate=0, shuffled_negative_sampling_rate=3),
    job("no-decay-one-batch", weight_decay=0, mini_batch_size=10_000, learning_rate=0.1),
    job("published", batch_metrics_publish_interval=2, mini_batch_size=64),
    job("warm-start", "--initial-model model --validation validation.csv", dim=10, num_ip_encoder_layers=2),
    STEPS,
    case("map-of-a-file",
         "train --train train.csv --model-dir new --hyperparameters hyperparameters.json -H epochs=2 --quiet",
         outputs="new/model_algo-1"),
    case("container", "train --base-dir ml", outputs="ml/model/model_algo-1 ml/output/failure"),
    case("container-quoted", "train --base-dir ml-quoted --seed 3", outputs="ml-quoted/model/model_algo-1"),
)  # fmt: skip
