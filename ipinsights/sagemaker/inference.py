"""A request to its answer, without HTTP: what the server and the batch transform share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.predictor import Predictor
from ipinsights.sagemaker.decoding import decode
from ipinsights.sagemaker.encoding import encode
from ipinsights.sagemaker.formats import CSV, JSON, ResponseFormat
from ipinsights.thresholds import find_threshold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipinsights.thresholds import Threshold

__all__ = ["Answer", "InferenceModel"]


@dataclass(frozen=True)
class Answer:
    """The body of a response.

    Attributes
    ----------
    media_type
        ``application/json`` or ``application/jsonlines``.
    pieces
        The body, piece by piece; a small one is a single piece.
    """

    media_type: str
    pieces: Iterator[bytes]


@dataclass(frozen=True)
class InferenceModel:
    """A model that answers requests.

    Attributes
    ----------
    predictor
        What scores.
    threshold
        What judges scores in extended answers; None if none lies beside the model.
    """

    predictor: Predictor
    threshold: Threshold | None

    @classmethod
    def load(cls, path: Path) -> InferenceModel:
        """Open a model with the threshold that lies beside it, and warm it up, so that forks share all of it.

        Raises
        ------
        ClientError
            There is no model, it is damaged, or the threshold was made for another.
        """
        predictor, threshold = Predictor.load(path), find_threshold(path)
        predictor.score(np.zeros(1, dtype=np.uint64), np.zeros(1, dtype=np.uint32))
        if threshold is not None:
            threshold.check(predictor)
        return cls(predictor, threshold)

    def warm_up(self) -> None:
        """Answer a request with all there is to tell, so that what is loaded late is loaded before processes fork."""
        answer = self.answer(
            b"a,0.0.0.0", content_type=CSV, accept=f"{JSON}; verbose=True; extended=True", default=JSON
        )
        for _ in answer.pieces:
            pass

    def answer(self, body: bytes, *, content_type: str, accept: str, default: str) -> Answer:
        """Answer a request, whole or not at all.

        Parameters
        ----------
        body, content_type
            See :func:`ipinsights.sagemaker.decoding.decode`.
        accept, default
            See :meth:`ipinsights.sagemaker.formats.ResponseFormat.negotiate`.

        Raises
        ------
        RequestError
            400, 406 or 415, with a sentence that says what is wrong.
        """
        wanted = ResponseFormat.negotiate(accept, default=default)
        pairs = decode(body, content_type)
        return Answer(wanted.media_type, encode(self.predictor, pairs, wanted, threshold=self.threshold))
