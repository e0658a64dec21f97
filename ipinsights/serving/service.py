"""A model that answers requests, without HTTP: shared by the endpoint and the batch transform."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.inference.predictor import Predictor
from ipinsights.inference.threshold import find_threshold
from ipinsights.serving.media_types import CSV, JSON, RequestError, ResponseFormat
from ipinsights.serving.model_file import ModelFile
from ipinsights.serving.requests import decode
from ipinsights.serving.responses import encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipinsights.inference.threshold import Threshold

__all__ = ["Answer", "InferenceModel"]

# Bodies of up to so many bytes take less than a millisecond with embeddings of this size.
_SMALL_BYTES, _SMALL_DIM = 16 * 2**10, 128
_LEAST_SMALL_BYTES = 256
_DAMAGED = "The model file was changed in use. Rename a whole model to its place, then reload the server with SIGHUP."


@dataclass(frozen=True)
class Answer:
    """The body of a response.

    Attributes
    ----------
    media_type
        ``application/json`` or ``application/jsonlines``.
    pieces
        The body in pieces. A small one is a single block and its end.
    rows
        Number of scored pairs.
    """

    media_type: str
    pieces: Iterator[bytes]
    rows: int


@dataclass(frozen=True)
class InferenceModel:
    """A model that answers requests.

    Attributes
    ----------
    predictor
        Scorer of pairs.
    threshold
        Judge of scores in extended answers, None if the model directory has none.
    file
        The model's file, None if the predictor does not map one.
    """

    predictor: Predictor
    threshold: Threshold | None
    file: ModelFile | None = None

    @classmethod
    def load(cls, path: Path) -> InferenceModel:
        """Open a model and its threshold, and score once, so that forked processes share everything.

        Raises
        ------
        ClientError
            There is no model, it is damaged, or the threshold was made for another.
        """
        while True:
            # The model is opened by its path a second time. Another file may have been renamed to it in between.
            file = ModelFile(path)
            predictor, threshold = Predictor.load(path), find_threshold(path)
            if file.is_current:
                break
        predictor.score(np.zeros(1, dtype=np.uint64), np.zeros(1, dtype=np.uint32))
        if threshold is not None:
            threshold.check(predictor)
        return cls(predictor, threshold, file)

    def warm_up(self) -> None:
        """Answer a request with all columns, so that lazy imports happen before processes fork."""
        answer = self.answer(
            b"a,0.0.0.0", content_type=CSV, accept=f"{JSON}; verbose=True; extended=True", default=JSON
        )
        for _ in answer.pieces:
            pass

    def check_usable(self) -> None:
        """Check that nobody wrote into the model file.

        Raises
        ------
        RequestError
            503 with a sentence.
        """
        if self.file is not None and not self.file.is_intact:
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, _DAMAGED, reason="the model file was changed in use")

    def identity_at_path(self) -> tuple[int, ...] | None:
        """Return what identifies the file that is now at the model's path, None without a file."""
        return None if self.file is None else self.file.identity_at_path()

    def is_small(self, num_bytes: int, accept: str) -> bool:
        """Return whether a body takes so little time that other requests can wait for it."""
        return num_bytes <= self._small_bytes and "verbose" not in accept.lower()

    @cached_property
    def _small_bytes(self) -> int:
        # The time for a row grows with the square of the embedding's size.
        dim = max(_SMALL_DIM, self.predictor.hyperparameters.vector_dim)
        return max(_LEAST_SMALL_BYTES, _SMALL_BYTES * _SMALL_DIM**2 // dim**2)

    def answer(self, body: bytes, *, content_type: str, accept: str, default: str) -> Answer:
        """Answer a request, whole or not at all.

        Parameters
        ----------
        body, content_type
            See :func:`ipinsights.serving.requests.decode`.
        accept, default
            See :meth:`ipinsights.serving.media_types.ResponseFormat.negotiate`.

        Raises
        ------
        RequestError
            400, 406 or 415 with a sentence that says what is wrong, 503 if the model cannot be used.
        """
        wanted = ResponseFormat.negotiate(accept, default=default)
        pairs = decode(body, content_type)
        self.check_usable()
        pieces = encode(self.predictor, pairs, wanted, threshold=self.threshold)
        self.check_usable()
        return Answer(wanted.media_type, self._checked(pieces) if wanted.verbose else pieces, len(pairs))

    def _checked(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield pieces that need the model file, which is checked before and after each of them is computed."""
        for piece in pieces:
            self.check_usable()
            yield piece
            self.check_usable()
