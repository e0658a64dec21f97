"""Evaluation of a model: detection of simulated attackers, next to counting baselines.

Thresholds to use are in ``inference``.
"""
