"""Entry point of the build. The metadata is in ``pyproject.toml``, the version in ``ipinsights/__init__.py``."""

from setuptools import setup

setup()
