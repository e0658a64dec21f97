"""Training on several hosts: their processes, their rendezvous and their sums.

Each host trains with ``training``. A container's list of hosts is read by ``sagemaker``.
"""
