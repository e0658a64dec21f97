"""Learners: the network and its optimizer on one kind of device.

Which steps are taken, and on which rows, is decided by ``training``.
"""
