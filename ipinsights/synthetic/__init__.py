"""Simulated logins, attacks on them, and the address ranges that both come from.

Real logs are read by ``etl``. Attackers that judge a model are in ``evaluation``.
"""
