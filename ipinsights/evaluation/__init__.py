"""Evaluation: what a model catches, how much of it counting would catch too, and what it costs in false alarms."""
