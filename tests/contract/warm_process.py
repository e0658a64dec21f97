"""A process that imports what commands import, then runs each command in a fork of itself.

The last argument is the descriptor of a socket. A request is the length of a JSON object, with the standard streams of
the command as descriptors, and then the object. The answer is the id of the process, and its exit code at its end.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import socket
import sys
import threading
import time
from typing import Any

# What takes a command's first second.
_MODULES = (
    "ipinsights.cli", "ipinsights.model._mxnet", "matplotlib.figure", "optuna", "pandas", "pyarrow.compute",
    "pyarrow.csv", "pyarrow.parquet", "scipy.stats", "sklearn.manifold", "sklearn.metrics",
)  # fmt: skip


def load() -> None:
    """Import the modules of commands, and load the compiled kernels."""
    for name in _MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    importlib.import_module("ipinsights.training.learners.compilation").load_kernels()
    gc.freeze()


def serve(requests: socket.socket) -> None:
    """Fork for each request until the other side closes the socket, and return in the fork."""
    while True:
        length, streams, _, _ = socket.recv_fds(requests, 8, 3)
        if not length:
            os._exit(0)
        received = b""
        while len(received) < int.from_bytes(length, "big"):
            received += requests.recv(2**16)
        process = os.fork()
        if not process:
            requests.close()
            return become(json.loads(received), streams)
        for stream in streams:
            os.close(stream)
        requests.sendall(b"%d\n" % process)
        _, status = os.waitpid(process, 0)
        requests.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def become(command: dict[str, Any], streams: list[int]) -> None:
    """Take the streams, the folder, the environment and the arguments of a command."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(command["folder"])
    os.environ.clear()
    os.environ.update(command["environment"])
    time.tzset()
    sys.path[0] = command["folder"]
    sys.argv[1:] = command["arguments"]


def run() -> int:
    """Run the command, and return its exit code as the interpreter would."""
    try:
        runpy.run_module("ipinsights", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
        return 1
    return 0


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        load()
        connection.sendall(b"loaded\n")
        serve(connection)
    code = run()
    # The interpreter would now take a second to free every module.
    threading._shutdown()  # type: ignore[attr-defined]  # typeshed does not have it
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
