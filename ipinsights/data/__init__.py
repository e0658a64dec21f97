"""Readers and writers: pairs, addresses, times, and the files that hold them.

Nothing here knows a model or a log format: see ``model`` and ``etl``.
"""
