"""Bodies of requests: sizes, encodings, clients that stop, and what a worker holds of them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from ipinsights.serving.bodies import BodyReader
from ipinsights.serving.media_types import RequestError
from ipinsights.serving.messages import Request

from .asgi import ask, asked, made

if TYPE_CHECKING:
    from ipinsights.serving.service import InferenceModel


class TestApplication:
    """Bodies as an application receives them."""

    def test_pieces(self, model: InferenceModel) -> None:
        """A body that arrives in pieces is scored like a whole one."""
        whole = asked(made(model), "POST", "/invocations", b"user_1,192.168.1.2")
        assert asked(made(model), "POST", "/invocations", b"user_1,", b"192.168", b".1.2")[::2] == whole[::2]
        assert whole[0] == 200

    def test_an_announced_body_over_the_limit_is_not_read(self, model: InferenceModel) -> None:
        """A body is refused by its announced length."""
        message = b"The payload is larger than 1 MB: split it, or start the server with --max-payload-mb.\n"
        fields = [("Host", "x"), ("Content-Length", "99999999")]
        status, headers, body = asyncio.run(ask(made(model, max_payload_mb=1), "POST", "/invocations", [], fields))
        assert (status, headers["connection"], body) == (413, "close", message)

    def test_a_chunked_body_over_the_limit(self, model: InferenceModel) -> None:
        """A chunked body is refused as soon as it is too large, and its rest discarded."""
        fields = [("Host", "x"), ("Transfer-Encoding", "chunked")]
        pieces = [b"a" * 2**19 for _ in range(5)]
        assert asyncio.run(ask(made(model, max_payload_mb=1), "POST", "/invocations", pieces, fields))[0] == 413

    @pytest.mark.parametrize(
        ("hangs_up", "status", "message"),
        [
            (True, 400, b"The payload ended before all of its 100 bytes arrived.\n"),
            (False, 408, b"The payload did not arrive within 0.05 seconds.\n"),
        ],
    )
    def test_a_body_that_does_not_arrive(
        self,
        model: InferenceModel,
        hangs_up: bool,  # noqa: FBT001
        status: int,
        message: bytes,
    ) -> None:
        """A client that hangs up early gets 400, and one that takes too long 408."""
        fields = [("Host", "x"), ("Content-Length", "100")]
        application = made(model, timeout=0.05)
        found, _, body = asyncio.run(ask(application, "POST", "/invocations", [], fields, hangs_up=hangs_up))
        assert (found, body) == (status, message)

    @pytest.mark.parametrize(
        ("encoding", "status"), [("identity", 200), ("Identity", 200), ("gzip", 415), ("GZIP", 415)]
    )
    def test_encodings(self, model: InferenceModel, encoding: str, status: int) -> None:
        """Only a body without encoding is accepted, in any case of letters."""
        answer = asked(made(model), "POST", "/invocations", b"user_1,192.168.1.2", Content_Encoding=encoding)
        assert answer[0] == status

    def test_too_many_large_bodies(self, model: InferenceModel) -> None:
        """A worker at its limit of held bytes refuses further bodies, and accepts bodies later."""
        application = made(model)
        fields = [("Host", "x"), ("Content-Length", "18")]

        async def twice() -> list[tuple[int, dict[str, str], bytes]]:
            """Return the responses next to large bodies, and after them."""
            with application._bodies.hold(2**28):
                first = await ask(application, "POST", "/invocations", [b"user_1,192.168.1.2"], fields)
            return [first, await ask(application, "POST", "/invocations", [b"user_1,192.168.1.2"], fields)]

        (status, headers, body), (later, _, _) = asyncio.run(twice())
        assert (status, headers["retry-after"], later) == (503, "1", 200)
        assert body == b"The server holds too many large payloads: send this one again later.\n"


class Client:
    """A client that sends pieces of a body, and then hangs up."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.num_calls = 0

    async def receive(self) -> dict[str, Any]:
        """Return the next message, as ASGI's function of this name does."""
        self.num_calls += 1
        if not self._pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._pieces.pop(0), "more_body": bool(self._pieces)}


async def endless() -> dict[str, Any]:
    """Return a piece of a body.

    A cancellation that comes together with the piece is lost, as in ``asyncio.wait_for`` before Python 3.12.
    """
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0.001)
    return {"type": "http.request", "body": b"a", "more_body": True}


def request(**headers: str) -> Request:
    """Return a request with a body."""
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Request("POST", "/invocations", "1.1", named, "id", is_received=False)


def read(reader: BodyReader, *pieces: bytes, **headers: str) -> bytes:
    """Return the body that a client sends in pieces."""
    return asyncio.run(reader.read(request(**headers), Client(*pieces).receive))


class TestRead:
    """What a reader returns, and what it refuses."""

    def test_without_a_body_nothing_is_received(self) -> None:
        """The client is not asked for a message that never comes."""
        client = Client()
        head = Request("GET", "/ping", "1.1", {}, "id", is_received=True)
        assert asyncio.run(BodyReader(1, 5).read(head, client.receive)) == b""
        assert client.num_calls == 0

    def test_a_body_in_one_piece_is_not_copied(self) -> None:
        """A body of one piece is that piece itself."""
        piece = bytes(1000)
        assert read(BodyReader(1, 5), piece) is piece

    @pytest.mark.parametrize("num_pieces", [1, 4])
    def test_the_largest_body(self, num_pieces: int) -> None:
        """A body of exactly the limit is read, however it arrives."""
        pieces = [bytes(2**20 // num_pieces)] * num_pieces
        assert read(BodyReader(1, 5), *pieces, content_length=str(2**20)) == bytes(2**20)

    @pytest.mark.parametrize("headers", [{"content_length": str(2**20 + 1)}, {"transfer_encoding": "chunked"}])
    def test_one_byte_more(self, headers: dict[str, str]) -> None:
        """The body is refused by its length, or when all of it has arrived."""
        with pytest.raises(RequestError) as caught:
            read(BodyReader(1, 5), bytes(2**20 + 1), **headers)
        assert (caught.value.status, str(caught.value)) == (
            413,
            "The payload is larger than 1 MB: split it, or start the server with --max-payload-mb.",
        )

    def test_chunks_that_end_early(self) -> None:
        """The refusal names the last chunk where no length is known."""
        with pytest.raises(RequestError) as caught:
            read(BodyReader(1, 5))
        assert (caught.value.status, str(caught.value)) == (400, "The payload ended before its last chunk arrived.")

    def test_pieces_without_end(self) -> None:
        """A client that always sends another piece gets 408, even if a cancellation is lost."""
        with pytest.raises(RequestError) as caught:
            asyncio.run(BodyReader(1, 0.05).read(request(transfer_encoding="chunked"), endless))
        assert (caught.value.status, str(caught.value)) == (408, "The payload did not arrive within 0.05 seconds.")


class TestHeldBytes:
    """Memory that large bodies and answers take."""

    @pytest.mark.parametrize("pieces", [[b"a" * 1000], [bytes(2**20), b"a"]])
    def test_nothing_is_held_afterwards(self, pieces: list[bytes]) -> None:
        """A body that was read, or refused, counts no longer."""
        reader = BodyReader(1, 5)
        if len(pieces) == 1:
            read(reader, *pieces)
        else:
            with pytest.raises(RequestError):
                read(reader, *pieces)
        assert reader._held_bytes == 0

    @pytest.mark.parametrize(("max_payload_mb", "megabytes"), [(1, 256), (100, 400)])
    def test_the_limit_is_four_of_the_largest_bodies(self, max_payload_mb: int, megabytes: int) -> None:
        """All bodies together may have four times the largest payload, and at least 256 MB."""

        async def read_next_to(num_bytes: int) -> bytes:
            """Read a body while others are held."""
            reader = BodyReader(max_payload_mb, 5)
            with reader.hold(num_bytes):
                return await reader.read(request(), Client(b"body").receive)

        assert asyncio.run(read_next_to(megabytes * 2**20 - 4)) == b"body"
        with pytest.raises(RequestError, match=r"^The server holds too many large payloads: send this one again later"):
            asyncio.run(read_next_to(megabytes * 2**20 - 3))

    def test_memory_is_returned_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """After several blocks one release is due, and after it none."""
        monkeypatch.setattr("ipinsights.serving.bodies._RELEASE_SECONDS", 0.01)

        async def hold_twice(reader: BodyReader) -> list[bool]:
            """Return whether a release is due after two blocks, and later."""
            for _ in range(2):
                with reader.hold(10):
                    pass
            due = reader._is_release_due
            await asyncio.sleep(0.1)
            return [due, reader._is_release_due]

        assert asyncio.run(hold_twice(BodyReader(1, 5))) == [True, False]


class TestDiscard:
    """The rest of a body that was refused."""

    def test_it_ends_with_the_body(self) -> None:
        """Every piece is received, and nothing after the last one."""
        client = Client(b"a", b"b", b"c")
        asyncio.run(BodyReader(1, 5).discard(client.receive))
        assert client.num_calls == 3

    def test_it_ends_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client that sends nothing more is not waited for."""
        monkeypatch.setattr("ipinsights.serving.bodies._DISCARD_SECONDS", 0.01)

        async def never() -> dict[str, Any]:
            """Wait for a message that does not come."""
            await asyncio.Event().wait()
            return {}

        asyncio.run(BodyReader(1, 5).discard(never))

    def test_it_ends_in_time_whatever_comes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another piece at any time does not prolong it, even if a cancellation is lost."""
        monkeypatch.setattr("ipinsights.serving.bodies._DISCARD_SECONDS", 0.05)
        asyncio.run(asyncio.wait_for(BodyReader(1, 5).discard(endless), 30))
