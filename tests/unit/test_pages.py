"""What the system is told of memory changes no value."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import numpy as np
import pytest

from ipinsights.pages import into_large_pages


def large_page_bytes(address: int) -> int:
    """Give how much of the mapping around an address lies in large pages, as the kernel counts."""
    inside = False
    for line in Path("/proc/self/smaps").read_text(encoding="ascii").splitlines():
        if "-" in line.split()[0]:
            start, end = (int(bound, 16) for bound in line.split()[0].split("-"))
            inside = start <= address < end
        elif inside and line.startswith("AnonHugePages:"):
            return 1024 * int(line.split()[1])
    return 0


class TestIntoLargePages:
    """Pages of 2 MB."""

    def test_values_stay_and_pages_grow(self, rng: np.random.Generator) -> None:
        """An array in small pages is in large ones afterwards, as far as it fills them, with the same values."""
        whole = np.empty(16 * 2**20, dtype=np.uint8)
        values = whole.view(np.float32)
        values[:] = rng.random(len(values))
        expected = values.copy()
        into_large_pages(values)
        assert (values == expected).all()
        if large_page_bytes(values.ctypes.data + 4 * 2**20) == 0:
            pytest.skip("this kernel gives no large pages when asked")
        assert large_page_bytes(values.ctypes.data + 4 * 2**20) >= 12 * 2**20

    def test_a_system_without_large_pages_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As macOS, which has another use for some of Linux's numbers."""
        monkeypatch.delattr(mmap, "MADV_HUGEPAGE")
        monkeypatch.setattr(ctypes, "CDLL", None)  # any call of the system's would fail
        values = np.ones(4 * 2**20, dtype=np.float32)
        into_large_pages(values)
        assert (values == 1).all()

    def test_a_small_array_is_left_alone(self) -> None:
        """No large page fits into it."""
        values = np.ones(1000, dtype=np.float32)
        into_large_pages(values)
        assert (values == 1).all()
