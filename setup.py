"""Entry point of the build.

The metadata is in ``pyproject.toml``. The version is in ``ipinsights/__init__.py``.
"""

from setuptools import setup

setup()
