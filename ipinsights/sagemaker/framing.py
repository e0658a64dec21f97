"""How much of an HTTP request has come in (RFC 9112): its head, then a body of known length or in chunks.

This only tells when to stop waiting. What the request says, and whether it is one, is gunicorn's to judge.
"""

from __future__ import annotations

import re

__all__ = ["Framing"]

_MAX_HEAD_BYTES = 2**16
_MAX_CHUNK_LINE_BYTES = 2**10
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECT = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")


class Framing:
    """What has come in of a request.

    Parameters
    ----------
    max_payload_bytes
        Bytes of a body that are waited for; a larger one is refused, so nobody need see its end.
    """

    def __init__(self, max_payload_bytes: int) -> None:
        self.received = bytearray()
        self.is_whole = False
        # A body of known length is whole, and nothing has come in behind it.
        self.is_alone = False
        self.is_hopeless = False
        self.head_bytes = 0
        self.expects_continue = False
        self._max_payload_bytes = max_payload_bytes
        self._length: int | None = None
        # Where the next chunk begins, and the bytes in those before it.
        self._chunk_at = self._chunk_bytes = 0

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to wait for: the request is whole, or it will be refused."""
        return self.is_whole or self.is_hopeless

    @property
    def is_chunked(self) -> bool:
        """Whether there is a head, and the body behind it has no length of its own."""
        return self.head_bytes > 0 and self._length is None

    def take(self) -> tuple[bytes, bytes]:
        """Hand over what has come in: the head, or what there is of it, and the body as it was sent."""
        received, self.received = self.received, bytearray()
        if self.head_bytes == 0:
            return bytes(received), b""
        end = None if self._length is None else self.head_bytes + self._length
        return bytes(received[: self.head_bytes]), bytes(received[self.head_bytes : end])

    def feed(self, data: bytes) -> None:
        """Take what came in."""
        searched = max(0, len(self.received) - len(_HEAD_END) + 1)
        self.received += data
        if self.head_bytes == 0:
            self._look_for_head(searched)
        if self.head_bytes == 0:
            self.is_hopeless = len(self.received) > _MAX_HEAD_BYTES
        elif self._length is None:
            self._follow_chunks()
        else:
            self.is_whole = len(self.received) >= self.head_bytes + self._length
            self.is_alone = len(self.received) == self.head_bytes + self._length
            self.is_hopeless = self._length > self._max_payload_bytes

    def _look_for_head(self, searched: int) -> None:
        end = self.received.find(_HEAD_END, searched)
        if end < 0:
            return
        self.head_bytes = self._chunk_at = end + len(_HEAD_END)
        head = bytes(self.received[: self.head_bytes])
        length = _LENGTH.search(head)
        if not _CHUNKED.search(head):
            self._length = int(length[1]) if length else 0
        self.expects_continue = _EXPECT.search(head) is not None

    def _follow_chunks(self) -> None:
        """Go from chunk to chunk as far as they are there."""
        while not self.is_done:
            end = self.received.find(b"\r\n", self._chunk_at)
            size = _CHUNK_SIZE.match(self.received, self._chunk_at)
            if end < 0:
                self.is_hopeless = len(self.received) - self._chunk_at > _MAX_CHUNK_LINE_BYTES
                break
            if size is None:
                self.is_hopeless = True
            elif int(size[0], 16) == 0:
                self.is_whole = self.received.find(_HEAD_END, end) >= 0
                break
            elif not self._pass_chunk(end + 2, int(size[0], 16)):
                break
        # Room for the lines between chunks, but not for a body that is nothing but lines.
        self.is_hopeless |= len(self.received) > self.head_bytes + 2 * self._max_payload_bytes + _MAX_HEAD_BYTES

    def _pass_chunk(self, begin: int, size: int) -> bool:
        """Go past a chunk; give whether all of it is there."""
        there = min(size, len(self.received) - begin)
        self.is_hopeless = self._chunk_bytes + there > self._max_payload_bytes
        if begin + size + 2 > len(self.received):
            return False
        self._chunk_at, self._chunk_bytes = begin + size + 2, self._chunk_bytes + size
        return True
