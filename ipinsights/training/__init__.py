"""A training job: the loop with its callbacks, checkpoints and log.

Single steps are in ``training.learners``, jobs on several hosts in ``distributed``.
"""
