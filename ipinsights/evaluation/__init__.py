"""Evaluation of a model: detection of simulated attackers, next to counting baselines.

Scores of two models are compared here, too. Thresholds to use are in ``inference``.
"""
