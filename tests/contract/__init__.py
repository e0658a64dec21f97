"""The contract that a rearrangement must keep. See `conftest.py`."""
