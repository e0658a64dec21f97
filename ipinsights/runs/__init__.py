"""Training runs read from their logs, SageMaker's or ours, and comparisons of runs.

No model is loaded here: ``evaluation`` compares models by their scores.
"""
