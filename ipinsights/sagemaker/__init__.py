"""SageMaker's contract: the ``/opt/ml`` tree, the container's job, and batch transform.

Everything that also works outside of a container is in other packages.
"""
