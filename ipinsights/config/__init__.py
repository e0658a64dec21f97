"""Hyperparameters: one table of names, ranges and defaults, and the checked values of a job.

Where the values come from, a command line, a file or a container, is decided by the caller.
"""
