"""Hyperparameter search that can be stopped and resumed.

Each trial is trained by ``training``.
"""
