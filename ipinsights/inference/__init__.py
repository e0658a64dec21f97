"""Scoring with a trained model: files, thresholds, explanations and embeddings.

Requests over HTTP are in ``serving``. Whether a model is good is measured by ``evaluation``.
"""
