"""Extraction of rows of entity, address and time from logs, and splitting of such rows.

Every skipped record is counted with its reason. Rows for training are read by ``data``.
"""
