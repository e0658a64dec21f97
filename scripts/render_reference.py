"""Write ``docs/reference/hyperparameters.md`` from the table in the code.

A test fails when the page is out of date.
"""

from __future__ import annotations

from pathlib import Path

from ipinsights.config.hyperparameter_table import EXTENSIONS, TABLE

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "hyperparameters.md"

HEAD = """# Hyperparameters

<!-- Written by scripts/render_reference.py from ipinsights/config/hyperparameter_table.py; change it there. -->

All arrive as strings, as SageMaker sends them: `-H name=value`, a JSON file or the map itself with `--hyperparameters`,
or a container's `hyperparameters.json`. A JSON number or a text in JSON's quotes will do, and so will scientific
notation. NaN and infinity are not valid numbers. All errors of a map are reported at once.

| name | value | default | tuning range | what it does |
| --- | --- | --- | --- | --- |
"""

TAIL = """
Two rules join several of them:

- `random_negative_sampling_rate` + `shuffled_negative_sampling_rate` must be from 1 to 500;
- `num_entity_vectors` x `vector_dim` must be below 2^31: 8 GB of float32, the original's documented limit too.

The default of `mini_batch_size` is the documented one. The original's container holds 5000 in its own defaults, so a
job there that leaves it out trains with 5000.

## Undocumented ones of the original

Its log shows them among its defaults. They are accepted and checked.

| name | value | default | what it does |
| --- | --- | --- | --- |
"""

OURS = """
## Those of this project

The original has no history. The log lists these only if they are given.

| name | value | default | what it does |
| --- | --- | --- | --- |
"""

END = """
Names that begin with `sagemaker_` belong to the platform and are set aside, as are other names with a leading
underscore and the SDK's `feature_dim`.
"""


def render() -> str:
    """Return the page."""
    documented = (
        f"| `{row.name}` | {row.domain} | {row.default or '**required**'} | {row.tuning or ''} | {row.help} |\n"
        for row in TABLE
        if row.is_documented
    )
    hidden, ours = (
        "".join(
            f"| `{row.name}` | {row.domain} | {row.default or '(empty)'} | {row.help} |\n"
            for row in rows
            if not row.is_documented
        )
        for rows in (TABLE, EXTENSIONS)
    )
    return HEAD + "".join(documented) + TAIL + hidden + OURS + ours + END


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
