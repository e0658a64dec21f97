"""Install MXNet into this environment if the extra ``mxnet`` leaves it out.

``make`` runs this script.
"""

from __future__ import annotations

import shlex
import subprocess
import sys

from ipinsights.model import mxnet_package


def main() -> None:
    """Run the command that an error message would name."""
    if mxnet_package.is_installed() or not mxnet_package.is_published():
        return
    for command in mxnet_package.installation_command().split(" && "):
        subprocess.run([sys.executable, "-m", *shlex.split(command)], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
