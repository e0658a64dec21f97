"""What the package is called, needs and installs. Its version stands in ``ipinsights/__init__.py``."""

import re
from pathlib import Path

from setuptools import find_packages, setup

# MXNet 1.9.1 is the last release; numpy 2 no longer has the names that it imports.
RUNTIME = [
    "click>=8.1",
    # The backport of asyncio.timeout.
    "async-timeout>=4; python_version < '3.11'",
    # 27 is the first whose ASGI worker keeps pipelined requests and bounds what it buffers. Private methods are used.
    "gunicorn>=27,<28",
    "mxnet==1.9.1",
    "numpy>=1.23,<2",
    "orjson>=3.9.15",
    "pandas>=1.5,<3",
    "prometheus-client>=0.21",
    # from 26 on it wants numpy 2, and says so only when it is imported
    "pyarrow>=15.0.0,<26",
    "scikit-learn>=1.2",
    "scipy>=1.9",
    # MXNet imports distutils, which Python 3.12 removed and setuptools still carries.
    "setuptools>=78.1.1,<81; python_version >= '3.12'",
    "threadpoolctl>=3.2",
    "tqdm>=4.66.3",
    "uvloop>=0.19; implementation_name == 'cpython' and sys_platform != 'win32'",
]
EXTRAS = {
    "report": ["matplotlib>=3.7"],
    "tune": ["optuna>=4"],
    "bench": ["flask>=3", "granian>=2", "uvicorn>=0.30"],
    "docs": ["furo>=2024.8", "latex2mathml>=3.77", "myst-nb>=1.1", "sphinx>=7.4", "sphinx-click>=6"],
    "test": ["boto3>=1.28", "coverage>=7.10", "hypothesis>=6", "pytest>=8", "pytest-randomly>=3.15",
             "pytest-timeout>=2.3", "pytest-xdist>=3.6"],
    "dev": ["build>=1", "check-wheel-contents>=0.6", "import-linter>=2", "interrogate>=1.7", "mypy>=1.10",
            "pandas-stubs>=2,<3", "ruff>=0.14", "twine>=6", "types-setuptools", "types-tqdm"],
}  # fmt: skip

HERE = Path(__file__).parent
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / "ipinsights" / "__init__.py").read_text("utf-8"), re.MULTILINE)

setup(
    name="ipinsights",
    version=VERSION[1],
    description="Which IPv4 addresses are normal for a user: Amazon SageMaker's IP Insights, open and local, on MXNet.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The ipinsights authors",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=">=3.10",
    packages=find_packages(include=["ipinsights", "ipinsights.*"]),
    package_data={"ipinsights": ["py.typed", "**/*.json", "**/*.csv"]},
    install_requires=RUNTIME,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["ipinsights = ipinsights.cli:main"]},
    keywords=["anomaly detection", "embeddings", "IP Insights", "IPv4", "MXNet", "SageMaker"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Security",
        "Typing :: Typed",
    ],
)
