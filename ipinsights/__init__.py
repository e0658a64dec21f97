"""IP Insights: learn which IPv4 addresses are normal for an entity, and score new pairs."""

__version__ = "0.1.0"
