"""A model that answers requests, without HTTP, for endpoint and batch transform."""

from __future__ import annotations

import os
import weakref
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.data.files import file_identity
from ipinsights.errors import ClientError
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.scorers import DOT_PRODUCT, HISTORY
from ipinsights.inference.threshold_files import find_threshold
from ipinsights.model import artifact
from ipinsights.model.untar import is_tar
from ipinsights.serving.media_types import CSV, JSON, RequestError, ResponseFormat
from ipinsights.serving.requests import decode
from ipinsights.serving.responses import encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipinsights.data.pairs import Pairs
    from ipinsights.inference.scorers import Scorer
    from ipinsights.inference.threshold import Threshold

__all__ = ["Answer", "InferenceModel", "ModelFile"]

# Bodies of up to this size take less than a millisecond with embeddings of this width.
_SMALL_BYTES, _SMALL_DIM = 16 * 2**10, 128
_LEAST_SMALL_BYTES = 256
_DAMAGED = "The model file was changed in use. Rename a whole model to its place, then reload the server with SIGHUP."


@dataclass(frozen=True)
class Answer:
    """The body of a response."""

    media_type: str  # ``application/json`` or ``application/jsonlines``
    pieces: Iterator[bytes]  # the body, a small one as a single block and its end
    rows: int  # number of scored pairs


class ModelFile:
    """An open descriptor of a model file, which tells whether the file is still what it was.

    The table of entity embeddings is a memory map. A program that writes into the file changes scores, and one that
    truncates it ends the process with SIGBUS. Both change the size or the time of modification, which ``fstat`` reads
    in a microsecond. A file renamed over the model changes neither, because the opened file lives on without its name.
    """

    def __init__(self, path: Path) -> None:
        self.path = artifact.find(path)
        # An archive was unpacked into a private file.
        self._is_mapped = not is_tar(self.path)
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ClientError(f"{self.path} cannot be opened: {error.strerror}.") from None
        weakref.finalize(self, os.close, self._descriptor)
        self._opened = file_identity(os.fstat(self._descriptor))

    @property
    def is_intact(self) -> bool:
        """Whether nobody wrote into the opened file."""
        return not self._is_mapped or file_identity(os.fstat(self._descriptor)) == self._opened

    @property
    def is_current(self) -> bool:
        """Whether the path still leads to the opened file as it was."""
        return self.identity_at_path() == self._opened

    def identity_at_path(self) -> tuple[int, ...] | None:
        """Return device, inode, size and modification time of the file at the path, or None."""
        try:
            return file_identity(self.path.stat())
        except OSError:
            return None


@dataclass(frozen=True)
class InferenceModel:
    """A model that answers requests."""

    predictor: Predictor  # scorer of pairs by the network
    # judge of the network's scores in extended answers, None if the model directory has none
    threshold: Threshold | None
    file: ModelFile | None = None  # the model's file, None if the predictor does not map one
    history_scorer: HistoryScorer | None = None  # scorer of pairs by the history, None if the model has none
    history_threshold: Threshold | None = None  # judge of the history's scores, None if the model directory has none
    scorer: str = DOT_PRODUCT  # name of the scorer of requests that name no scorer

    @classmethod
    def load(cls, path: Path, scorer: str = DOT_PRODUCT) -> InferenceModel:
        """Open a model and its thresholds, and score once, so that forked processes share memory."""
        while True:
            # The model is opened by its path a second time. Another file may have been renamed to it in between.
            file = ModelFile(path)
            model, threshold = artifact.load(path), find_threshold(path)
            history_threshold = find_threshold(path, scorer=HISTORY)
            if file.is_current:
                break
        predictor = Predictor(model)
        history_scorer = HistoryScorer(model) if model.history is not None or scorer == HISTORY else None
        _try_out(predictor, threshold)
        if history_scorer is None:
            return cls(predictor, threshold, file)
        _try_out(history_scorer, history_threshold)
        return cls(predictor, threshold, file, history_scorer, history_threshold, scorer)

    def warm_up(self) -> None:
        """Answer a request with all columns, so that lazy imports happen before processes fork."""
        answer = self.answer(
            b"a,0.0.0.0", content_type=CSV, accept=f"{JSON}; verbose=True; extended=True", default=JSON
        )
        for _ in answer.pieces:
            pass

    def check_usable(self) -> None:
        """Check that nobody wrote into the model file."""
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

    def answer(
        self,
        body: bytes,
        *,
        content_type: str,
        accept: str,
        default: str,
        name: str = "the payload",
        first_line: int = 1,
    ) -> Answer:
        """Answer a request, whole or not at all.

        See :func:`ipinsights.serving.requests.decode`, also for ``name`` and ``first_line``, and
        :meth:`ipinsights.serving.media_types.ResponseFormat.negotiate`.
        """
        wanted = ResponseFormat.negotiate(accept, default=default)
        scorer, threshold = self._chosen(wanted)
        pairs = decode(body, content_type, name=name, first_line=first_line, ipv6=scorer.accepts_ipv6)
        _check_embeddings(pairs, wanted)
        self.check_usable()
        pieces = encode(scorer, pairs, wanted, threshold=threshold)
        self.check_usable()
        return Answer(wanted.media_type, self._checked(pieces) if wanted.verbose else pieces, len(pairs))

    def _chosen(self, wanted: ResponseFormat) -> tuple[Scorer, Threshold | None]:
        """Return the scorer that a request asks for, with its threshold."""
        if (wanted.scorer or self.scorer) == DOT_PRODUCT:
            return self.predictor, self.threshold
        if self.history_scorer is None:
            raise RequestError(
                HTTPStatus.NOT_ACCEPTABLE,
                "This model has no history: ask for the scorer 'dot_product', or leave the parameter out.",
                reason="the model has no history",
            )
        return self.history_scorer, self.history_threshold

    def _checked(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield pieces, and check the model file before and after each piece is computed."""
        for piece in pieces:
            self.check_usable()
            yield piece
            self.check_usable()


def _try_out(scorer: Scorer, threshold: Threshold | None) -> None:
    """Score a pair, which loads what scoring needs, and check the scorer's threshold."""
    scorer.score(np.zeros(1, dtype=np.uint64), np.zeros(1, dtype=np.uint32))
    if threshold is not None:
        threshold.check(scorer)


def _check_embeddings(pairs: Pairs, wanted: ResponseFormat) -> None:
    """Raise an error if embeddings of IPv6 addresses are requested, which do not exist."""
    if wanted.verbose and pairs.addresses is not None and pairs.addresses.is_ipv6.any():
        raise RequestError(
            HTTPStatus.BAD_REQUEST,
            "IPv6 addresses have no embeddings: the network knows IPv4 only. Ask without verbose.",
            reason="embeddings of IPv6 addresses",
        )
