"""The endpoint: requests to pairs, scores to responses, and the HTTP server around both.

Scores are computed by ``inference``. Files are scored by ``sagemaker.batch_transform``.
"""
