"""SageMaker's contract around the algorithm: the ``/opt/ml`` tree, the training job and its log, the endpoint."""
