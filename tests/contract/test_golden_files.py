"""The golden files themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .golden import FOLDER
from .test_errors import OURS
from .test_help import COMMANDS
from .test_outputs import EXACT, FLOATING
from .test_serving import REQUESTS
from .test_training_bytes import ALL_JOBS
from .training_cases import JOBS

if TYPE_CHECKING:
    from .golden import Golden

NAMES = {
    "errors": [*map(str, OURS)],
    "help": ["ipinsights", *COMMANDS],
    "outputs": [*map(str, EXACT), *map(str, FLOATING)],
    "parameters": [*map(str, ALL_JOBS)],
    "serve": ["batch-transform", *map(str, REQUESTS)],
    "train": ["names-of-checkpoints", "one-trial", *map(str, JOBS)],
}


def test_each_is_compared_with_once(golden: Golden) -> None:
    """Every golden file belongs to one case, and every case has a golden file."""
    if golden.update:
        pytest.skip("The golden files are being written.")
    expected = sorted(f"{folder}/{name}.txt" for folder, names in NAMES.items() for name in names)
    assert [str(path.relative_to(FOLDER)) for path in sorted(FOLDER.rglob("*.txt"))] == expected
