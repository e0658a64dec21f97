"""Addresses become rows of the octet table."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.model.network import octet_rows


class TestOctetRows:
    """Addresses become rows of the octet table."""

    def test_the_most_significant_octet_comes_first(self) -> None:
        """1.2.3.255 is 1 at the first place, 2 at the second, which begins at row 256, and so on."""
        assert octet_rows(np.array([0x010203FF], dtype=np.uint32)).tolist() == [[1, 256 + 2, 512 + 3, 768 + 255]]

    @given(st.lists(st.integers(0, 2**32 - 1), min_size=1))
    def test_rows_spell_the_address(self, ips: list[int]) -> None:
        """Each row lies at its own place, and the four of them read back to the address."""
        rows = octet_rows(np.array(ips, dtype=np.uint32))
        assert rows.dtype == np.int32
        assert (rows // 256).tolist() == [[0, 1, 2, 3]] * len(ips)
        assert (rows % 256 @ [2**24, 2**16, 2**8, 1]).tolist() == ips
