"""The model: its network, its negative samples, and its artifact on disk.

Training is in ``training``, scoring in ``inference``. Only ``_mxnet`` imports MXNet.
"""
