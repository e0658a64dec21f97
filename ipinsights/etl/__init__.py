"""Log files to rows of entity, address and time, and such rows to files for training and tests.

Every skipped record is counted with its reason. Rows for training are read by ``data``.
"""
