"""Thresholds with a guaranteed false positive rate, calibrated on ordinary events.

Why the guarantee holds is in :mod:`ipinsights.inference.conformal`.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.data.both_families import by_family
from ipinsights.data.files import open_output
from ipinsights.data.frames import read_rows
from ipinsights.data.ip_networks import Networks
from ipinsights.data.remote import staged
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.inference.conformal import kept_steps, promised_rank, rate_interval
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.inference.scorers import DOT_PRODUCT, HISTORY, SCORERS, as_scorer
from ipinsights.reporting.plain_text import preformatted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ipinsights.data.pairs import Pairs
    from ipinsights.inference.scorers import Scorer

__all__ = ["ALLOWED", "NORMAL", "SUSPICIOUS", "UNKNOWN_ENTITY", "Threshold"]

FORMAT_VERSION = 1
# Numbers of rows are 64-bit integers.
_TOO_MANY_ROWS = 2**63

NORMAL, SUSPICIOUS, UNKNOWN_ENTITY, ALLOWED = "normal", "suspicious", "unknown_entity", "allowed"

# Pairs that nobody trains on, to tell by their scores whether a threshold belongs to a model.
_PROBE_ENTITIES = np.arange(8, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
_PROBE_IPS = np.arange(8, dtype=np.uint32) * np.uint32(0x1F2E3D4C)


@dataclass(frozen=True)
class Threshold:
    """A threshold, and the calibration scores for p-values.

    Attributes
    ----------
    fpr
        The false positive rate asked for, in (0, 1).
    score
        An event is suspicious if its score is *less* than this.
    interval
        Where the false positive rate of this very threshold lies with 95 % confidence, if events are independent.
    num_rows
        Calibration events that were used.
    num_unknown, num_allowed
        Events set aside because training never saw their entity, or because their address is allowed.
    allow
        Networks that are never suspicious.
    scores, num_below
        Some of the calibration scores, ascending, and how many calibration scores are less than each, both (m,).
    probe
        The network's scores of some fixed pairs, shape (8,).
    scorer
        Name of the scorer whose scores are judged: ``dot_product`` or ``history``.

    Examples
    --------
    >>> import ipinsights
    >>> logins = [("alice", f"192.0.2.{n}") for n in range(100)]
    >>> model = ipinsights.IPInsights(vector_dim=8, epochs=1, progress=False).fit(logins)
    >>> threshold = ipinsights.Threshold.calibrate(model, logins, fpr=0.05)
    >>> threshold.num_rows, threshold.fpr
    (100, 0.05)
    """

    fpr: float
    score: float
    interval: tuple[float, float]
    num_rows: int
    num_unknown: int
    num_allowed: int
    allow: Networks = field(repr=False)
    scores: NDArray[np.float32] = field(repr=False)
    num_below: NDArray[np.int64] = field(repr=False)
    probe: NDArray[np.float32] = field(repr=False)
    scorer: str = DOT_PRODUCT

    @property
    def fingerprint(self) -> str:
        """Hash of all that is saved."""
        return hashlib.blake2b(json.dumps(self._to_json()).encode(), digest_size=16).hexdigest()

    @classmethod
    def calibrate(
        cls, model: Any, calibration: Any, *, fpr: float, allow: Sequence[str] = (), progress: bool = False
    ) -> Threshold:
        """Choose the threshold that flags at most a share ``fpr`` of ordinary events.

        Parameters
        ----------
        model
            A fitted :class:`~ipinsights.IPInsights`, whose scorer is calibrated, or the path of a model, of which the
            dot product is calibrated.
        calibration
            Ordinary events, later than those of training and earlier than those to be judged: a DataFrame, an array,
            a list of pairs or a path. Events that repeat a pair of a history are ordinary, but a file that was merged
            into the history is not accepted.
        fpr
            False positive rate, in (0, 1).
        allow
            Networks that are never suspicious, such as ``10.0.0.0/8``. Events from them are set aside.
        progress
            Show a bar on a terminal while files are read.

        Raises
        ------
        ClientError
            The rate is not in (0, 1), a network is invalid, there are too few events, or they are part of the history.
        """
        scorer = as_scorer(model)
        pairs = read_rows(calibration, name="calibration", progress=progress, ipv6=scorer.accepts_ipv6).pairs
        is_number = isinstance(fpr, (int, float, np.number))
        if not (is_number and 0 < fpr < 1):
            shown = f"{fpr:g}" if is_number else repr(fpr)
            raise InvalidValueError(f"The false positive rate must be more than 0 and less than 1. Got {shown}.")
        if isinstance(scorer, HistoryScorer) and by_family(pairs).fingerprint in scorer.source_fingerprints:
            raise ClientError(
                "The calibration events were merged into the history of this model, so their scores are too high. "
                "Calibrate with events that came later."
            )
        networks = Networks(allow, ipv6=scorer.accepts_ipv6)
        allowed = _contain(networks, pairs)
        known = scorer.entity_known(pairs.entities) & ~allowed
        scores = np.sort(scorer.score_rows(pairs[known]))
        rank = promised_rank(fpr, len(scores))
        kept, num_below = kept_steps(scores, rank)
        return cls(
            fpr=float(fpr),
            score=float(scores[rank - 1]),
            interval=rate_interval(scores, rank),
            num_rows=len(scores),
            num_unknown=int(np.count_nonzero(~known & ~allowed)),
            num_allowed=int(np.count_nonzero(allowed)),
            allow=networks,
            scores=kept,
            num_below=num_below,
            probe=_probe(scorer),
            scorer=scorer.name,
        )

    @classmethod
    def load(cls, path: str | Path) -> Threshold:
        """Read a threshold from its file.

        Raises
        ------
        ClientError
            There is no file, or it is no threshold.
        """
        try:
            with staged(path) as local:
                content = json.loads(local.read_bytes())
            return cls._from_json(content)
        except OSError as error:
            raise ClientError(f"The threshold cannot be read from {path}: {error.strerror}.") from None
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            raise ClientError(f"{path} is no threshold: make one with `Threshold.calibrate`.") from None

    def save(self, path: str | Path) -> None:
        """Write the threshold to a file, which is replaced when it is complete.

        Raises
        ------
        ClientError
            The file cannot be written.
        """
        with staged(path, "output") as local, open_output(local) as stream:
            stream.write((json.dumps(self._to_json(), indent=1) + "\n").encode())

    def fits(self, scorer: Scorer) -> bool:
        """Return whether the threshold was made for a model, whichever the scorer."""
        return bool(np.allclose(_probe(scorer), self.probe, rtol=1e-3, atol=1e-4))

    def check(self, scorer: Scorer) -> None:
        """Raise an error if the threshold was not made for a model and its scorer."""
        name = scorer.name
        if name != self.scorer:
            raise ClientError(
                f"The threshold was made for the scorer '{self.scorer}', and the scores are those of '{name}'. Make a "
                f"new one with `ipinsights threshold --scorer {name}`."
            )
        if not self.fits(scorer):
            raise ClientError("The threshold was made for another model: make a new one with `Threshold.calibrate`.")

    def p_values(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the share of ordinary events as odd as each score (n,) or odder, in (0, 1].

        (1 + number of calibration scores not above it) / (n + 1). Up to 2 % too high where not every score is kept,
        never too low.
        """
        num_below = np.append(self.num_below, self.num_rows)
        at = np.searchsorted(self.scores, np.asarray(scores, dtype=np.float32), side="right")
        return (1 + num_below[at]) / (self.num_rows + 1)

    def judge(
        self, scores: NDArray[np.float32], events: Pairs, entity_known: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
        """Return p-value and verdict of each event, (n,) each. Unknown entities have NaN."""
        return np.where(entity_known, self.p_values(scores), np.nan), self.verdicts(scores, events, entity_known)

    def verdicts(
        self, scores: NDArray[np.float32], events: Pairs, entity_known: NDArray[np.bool_]
    ) -> NDArray[np.object_]:
        """Return the verdict of each event, shape (n,).

        It is ``allowed`` from a network of the allow-list, else ``unknown_entity``, else ``suspicious`` below the
        threshold, else ``normal``.
        """
        verdicts = np.where(np.asarray(scores, dtype=np.float32) < np.float32(self.score), SUSPICIOUS, NORMAL)
        verdicts = verdicts.astype(object)
        verdicts[~entity_known] = UNKNOWN_ENTITY
        verdicts[self.allows(events)] = ALLOWED
        return verdicts

    def allows(self, events: Pairs) -> NDArray[np.bool_]:
        """Return which events (n,) come from a network that is never suspicious, shape (n,)."""
        return _contain(self.allow, events)

    def _repr_html_(self) -> str:
        return preformatted(self.describe())

    def __str__(self) -> str:
        return self.describe()

    def describe(self) -> str:
        """Return a text for a terminal on the threshold, its guarantee and its assumptions."""
        low, high = (f"{100 * rate:.3g} %" for rate in self.interval)
        numbers = {"of entities unknown to the model": self.num_unknown, "from allowed networks": self.num_allowed}
        aside = [f"{number:,} {reason}" for reason, number in numbers.items() if number]
        return "\n".join([
            f"Suspicious: score < {self.score:.6g}",
            f"Guarantee: at most {100 * self.fpr:g} % of ordinary events, if they are like the calibration's.",
            f"This threshold's own rate: {low} to {high} (95 % confidence, if events are independent).",
            f"Calibrated on {self.num_rows:,} events" + (f"; set aside: {', '.join(aside)}." if aside else "."),
        ])  # fmt: skip

    def _to_json(self) -> dict[str, Any]:
        lists = {name: value.tolist() for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        found = {"format_version": FORMAT_VERSION, **vars(self), **lists, "allow": list(self.allow.texts)}
        # A threshold for the dot product is as it was before there were other scorers.
        return {name: value for name, value in found.items() if (name, value) != ("scorer", DOT_PRODUCT)}

    @classmethod
    def _from_json(cls, content: Mapping[str, Any]) -> Threshold:
        low, high = content["interval"]
        threshold = cls(
            fpr=float(content["fpr"]),
            score=float(content["score"]),
            interval=(float(low), float(high)),
            num_rows=int(content["num_rows"]),
            num_unknown=int(content["num_unknown"]),
            num_allowed=int(content["num_allowed"]),
            allow=Networks(content["allow"], ipv6=content.get("scorer") == HISTORY),
            scores=np.array(content["scores"], dtype=np.float32),
            num_below=np.array(content["num_below"], dtype=np.int64),
            probe=np.array(content["probe"], dtype=np.float32),
            scorer=str(content.get("scorer", DOT_PRODUCT)),
        )
        if content["format_version"] != FORMAT_VERSION or not threshold._is_sound():
            raise ValueError
        return threshold

    def _is_sound(self) -> bool:
        return bool(
            0 < self.fpr < 1
            and self.scorer in SCORERS
            and math.isfinite(self.score)
            and self.scores.ndim == 1
            and 0 < len(self.scores) == len(self.num_below)
            and np.isfinite(self.scores).all()
            and self.probe.shape == _PROBE_IPS.shape
            and all((np.diff(values) > 0).all() for values in (self.scores, self.num_below))
            and 0 <= self.num_below[0] <= self.num_below[-1] < self.num_rows < _TOO_MANY_ROWS
        )


def _probe(scorer: Scorer) -> NDArray[np.float32]:
    """Return the network's scores of fixed pairs, which identify the network.

    A history can grow after its threshold was made, but the network does not change.
    """
    return scorer.predictor.score(_PROBE_ENTITIES, _PROBE_IPS)


def _contain(networks: Networks, events: Pairs) -> NDArray[np.bool_]:
    """Return which events (n,) come from one of the networks, shape (n,)."""
    return networks.contain(events.ips) if events.addresses is None else networks.contain_any(events.addresses)
