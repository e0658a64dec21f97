"""Tuning: a search for the hyperparameters under which validation goes best."""
