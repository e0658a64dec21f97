"""Model artifacts, read as `docs/reference/artifact.md` describes them."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from typing import Any

import numpy as np

_SHOWN = 4


def members(content: bytes) -> dict[str, Any]:
    """Return the members of an artifact by name, without the versions that wrote it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        found: dict[str, Any] = {name: archive.read(name) for name in archive.namelist()}
    found["meta.json"] = json.loads(found["meta.json"])
    del found["meta.json"]["training"]["versions"]
    return found


def parameters(content: bytes) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Return the parameters of an artifact by name."""
    stream = io.BytesIO(members(content)["params"])
    _, _, num_arrays = struct.unpack("<QQQ", stream.read(24))
    arrays = []
    for _ in range(num_arrays):
        _, _, num_axes = struct.unpack("<IiI", stream.read(12))
        shape = struct.unpack(f"<{num_axes}q", stream.read(8 * num_axes))
        stream.read(12)
        size = int(np.prod(shape))
        arrays.append(np.frombuffer(stream.read(4 * size), "<f4").reshape(shape))
    (num_names,) = struct.unpack("<Q", stream.read(8))
    lengths_and_names = [stream.read(struct.unpack("<Q", stream.read(8))[0]).decode() for _ in range(num_names)]
    assert stream.read() == b""
    return dict(zip(lengths_and_names, arrays, strict=True))


def described(content: bytes, *, values: bool) -> str:
    """Return names, shapes, meta data and, if requested, some values of an artifact as text."""
    found = members(content)
    if not values:
        found["meta.json"]["training"]["validation_auc"] = "#"
    lines = [f"members: {', '.join(found)}", json.dumps(found["meta.json"], indent=1)]
    for name, array in parameters(content).items():
        lines.append(f"{name} {array.dtype} {array.shape}")
        if values:
            first = [float(value) for value in array.ravel()[:_SHOWN]]
            lines.append(f"  mean {array.mean():.8f}, deviation {array.std():.8f}, first {first}")
    return "\n".join([*lines, ""])
