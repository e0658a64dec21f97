"""The endpoint: an HTTP server around a model."""
