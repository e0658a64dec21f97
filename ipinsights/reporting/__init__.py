"""Building blocks of what people read: safe text, tables, and the style of plots.

What a report contains is decided by ``runs``, ``evaluation`` and ``tuning``.
"""
