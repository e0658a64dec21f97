"""Examples of the commands, which run one after the other in an empty folder."""

from __future__ import annotations

__all__ = ["EXAMPLES"]

EXAMPLES = {
    "simulate": ("ipinsights simulate --users 500 -o traffic",),
    "extract": (
        "ipinsights extract --format apache --status 200 traffic/access.log -o rows.csv",
        "cat traffic/access.log | ipinsights extract --format apache - > rows.csv",
    ),
    "split": (
        "ipinsights split rows.csv --at 2018-11-12 --calibration-at 2018-11-11 -o data",
        "ipinsights split rows.csv --fraction 0.8 0.1 0.1 -o shares",
    ),
    "hyperparameters": ("ipinsights hyperparameters",),
    "train": (
        "ipinsights train --train data/train.csv --model-dir model",
        "ipinsights train --train data/train.csv --validation data/calibration.csv \\",
        "    --model-dir second -H epochs=5 --seed 1 > second.log",
        "ipinsights train --train data/train.csv --model-dir third \\",
        "    -H num_entity_vectors=1000 -H vector_dim=64 -H mini_batch_size=auto \\",
        "    > third.log",
    ),
    "tune": (
        "ipinsights tune --train data/train.csv --validation data/calibration.csv \\",
        "    --tune learning_rate=0.001:0.1 --trials 2 --study study.db -o best.json \\",
        "    -H num_entity_vectors=1000 -H vector_dim=32 -H mini_batch_size=1000 \\",
        "    -H epochs=1",
    ),
    "compare": (
        "ipinsights compare second.log second.log",
        "ipinsights compare third.log second.log --tolerance auc=0.01 \\",
        "    --json-file runs.json || true",
    ),
    "inspect": ("ipinsights inspect model",),
    "threshold": (
        "ipinsights threshold --model-dir model --calibration data/calibration.csv \\",
        "    --fpr 0.01",
    ),
    "evaluate": (
        "ipinsights evaluate --model-dir model --train data/train.csv \\",
        "    --test data/test.csv --calibration data/calibration.csv --report report",
    ),
    "score": (
        "ipinsights score data/test.csv --model-dir model --extended -o scores.csv",
        "echo 'user_1,192.0.2.99' | ipinsights score - --model-dir model",
    ),
    "explain": ("ipinsights explain user_1 192.0.2.99 --model-dir model --train data/train.csv",),
    "embeddings": (
        "cut -d, -f2 data/test.csv > ips.txt",
        "ipinsights embeddings --model-dir model --ips ips.txt -o ips.npz",
    ),
    "update": (
        "ipinsights train --train data/train.csv --model-dir kept --keep-history \\",
        "    > kept.log",
        "ipinsights update data/test.csv --model-dir kept",
    ),
    "strip": ("ipinsights strip --model-dir kept",),
    "serve": ("ipinsights serve --model-dir model --port 8080",),
    "transform": ("ipinsights transform data/test.csv --model-dir model --output-dir out",),
}
"""Lines of each command's help. A line that ends with a backslash continues on the next one."""
