"""The tables of an evaluation, for a terminal and for pages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from ipinsights.evaluation.baselines import CONTROL
from ipinsights.evaluation.detection import AUC, METRICS, TPR_FPRS
from ipinsights.evaluation.results import AWS_RECIPE, GIVEN_ATTACKS, HEADLINE_METRIC
from ipinsights.reporting.report import Report, Section

if TYPE_CHECKING:
    from ipinsights.evaluation.results import Evaluation

__all__ = ["full_sections", "headline", "report"]

_UNMATCHED = (GIVEN_ATTACKS, AWS_RECIPE)
_HEADLINE_ATTACKER = {"IPv4": "other entities' networks", "IPv6": "other entities' addresses"}
_NOTHING = "-"

_FLATTERY = (
    "The recipe draws victims uniformly over entities, but most ordinary events are of busy ones: so a score that "
    "never looks at the address tells attacks too (the control's AUC is above 0.50), and whatever goes with activity "
    "gains. Its addresses come from anywhere, so a score needs to know no more than where an entity's part of the "
    "internet is. Compare published figures with it, and judge by the tables above."
)


def report(evaluation: Evaluation) -> Report:
    """Give what a terminal shows."""
    newest = "new /24" if evaluation.family == "IPv4" else "new /64"
    sections = (
        _data(evaluation),
        _by_attacker(
            evaluation, "all", "Attacks caught at 1 false alarm in 100 ordinary events (TPR at FPR 1 %, in %)"
        ),
        _by_attacker(
            evaluation, newest, f"The same, of events in a {newest[4:]} new for the entity: where counting is blind"
        ),
        _by_slice(evaluation),
        _areas(evaluation),
        *_alerts(evaluation),
        *_unmatched(evaluation),
        *_families(evaluation),
    )
    return Report(headline(evaluation), sections)


def headline(evaluation: Evaluation) -> str:
    """Say in a sentence how the model does, against attackers who know where others come from."""
    table = evaluation.differences
    attacker = _HEADLINE_ATTACKER[evaluation.family]
    found = table[(table.attacker == attacker) & (table.slice == "all")]
    if found.empty:
        return "Nothing to tell: no attack could be drawn."
    best, difference, low, high = found.iloc[0][["best_baseline", "difference", "low", "high"]]
    scorer = evaluation.main_scorer
    ours = evaluation.value(HEADLINE_METRIC, attacker=attacker, scorer=scorer)
    verdict = "the difference could be chance"
    if not low <= 0 <= high:
        verdict = f"the {scorer} is {100 * abs(difference):.1f} points {'better' if difference > 0 else 'worse'}"
    return (
        f"At 1 false alarm in 100 the {scorer} catches {100 * ours:.1f} % of attacks from {attacker}; "
        f"the best baseline, {best}, {100 * (ours - difference):.1f} %: {verdict} "
        f"[{100 * low:+.1f}, {100 * high:+.1f}]."
    )


def full_sections(evaluation: Evaluation) -> list[Section]:
    """Give a table of every metric for each attacker and slice."""
    pairs = evaluation.detection[["attacker", "slice"]].drop_duplicates().itertuples(index=False)
    return [Section(f"{attacker}, {name}", _metrics(evaluation, attacker, name)) for attacker, name in pairs]


def _data(evaluation: Evaluation) -> Section:
    facts = evaluation.facts
    removed = {name: number for name, number in facts["attacks_removed"].items() if number}
    remarks = [
        f"Trained on {facts['train_rows']:,} events of {facts['train_entities']:,} entities; tested on "
        f"{evaluation.slices['all']:,} ordinary events.",
        *(f"  {number:,} in the slice: {name}" for name, number in evaluation.slices.items() if name != "all"),
        *_foreign(facts["train_entities_unknown_to_model"]),
        f"Set aside: {facts['test_rows_of_unknown_entities']:,} events of entities that training never saw.",
        "For each ordinary event each attacker attacks its entity once.",
        *(f"  {number:,} found no address but the victim's own: {name}" for name, number in removed.items()),
        "In brackets: 95 % intervals, resampled over entities.",
    ]
    return Section("Data", None, tuple(remarks))


def _foreign(num_unknown: int) -> list[str]:
    if num_unknown == 0:
        return []
    return [
        f"The model never learned {num_unknown:,} of these entities: is this the data it was trained on? Its scores of "
        "them mean nothing."
    ]


def _matched(evaluation: Evaluation) -> list[str]:
    return [name for name in evaluation.detection.attacker.unique() if name not in _UNMATCHED]


def _by_attacker(evaluation: Evaluation, slice_name: str, title: str) -> Section:
    if slice_name not in evaluation.slices:
        return Section(title, None, (f"Too few ordinary events in the slice: {slice_name}.",))
    attackers = _matched(evaluation)
    rows = [
        [scorer, *(_percent(evaluation, HEADLINE_METRIC, attacker, slice_name, scorer) for attacker in attackers)]
        for scorer in evaluation.scorers
    ]
    return Section(title, pd.DataFrame(rows, columns=["score", *attackers]))


def _by_slice(evaluation: Evaluation) -> Section:
    attackers = _matched(evaluation)
    scorer = evaluation.main_scorer
    rows = [
        [name, *(_percent(evaluation, HEADLINE_METRIC, attacker, name, scorer) for attacker in attackers)]
        for name in evaluation.slices
    ]
    return Section(f"The {scorer} by slice (TPR at FPR 1 %, in %)", pd.DataFrame(rows, columns=["slice", *attackers]))


def _areas(evaluation: Evaluation) -> Section:
    attackers = _matched(evaluation)
    rows = [
        [scorer, *(_fraction(evaluation, AUC, attacker, "all", scorer) for attacker in attackers)]
        for scorer in evaluation.scorers
    ]
    remark = "The control looks at the entity only: 0.500 says that victims are matched and the test does not leak."
    return Section("Area under the ROC curve", pd.DataFrame(rows, columns=["score", *attackers]), (remark,))


def _alerts(evaluation: Evaluation) -> list[Section]:
    if evaluation.alerts.empty:
        return []
    chosen = evaluation.alerts[evaluation.alerts.slice == "all"]
    table = chosen.pivot_table(index="scorer", columns="fpr", values="alerts_per_1000").reindex(evaluation.scorers[:-1])
    rows = [[scorer, *map(_alerts_text, values)] for scorer, values in zip(table.index, table.to_numpy(), strict=True)]
    columns = ["score", *(f"{1000 * fpr:g} asked for" for fpr in table.columns)]
    remark = "Thresholds are from the calibration events; 0.0 says that a score is too coarse to be set so low."
    return [Section("Alerts per 1,000 ordinary events of the test", pd.DataFrame(rows, columns=columns), (remark,))]


def _alerts_text(value: float) -> str:
    return _NOTHING if math.isnan(value) else f"{value:.1f}"


def _families(evaluation: Evaluation) -> list[Section]:
    if evaluation.families is None or evaluation.families.empty:
        return []
    table = evaluation.families.copy()
    for metric in TPR_FPRS:
        table[metric] = [f"{100 * rate:.1f}" for rate in table[metric]]
    remark = "Ordinary events are those of both families. A first event from the other family is new like any network."
    return [Section("Attackers who change the address family, the history (TPR in %)", table, (remark,))]


def _unmatched(evaluation: Evaluation) -> list[Section]:
    attackers = [name for name in _UNMATCHED if name in set(evaluation.detection.attacker)]
    if not attackers:
        return []
    rows = [
        [scorer]
        + [_fraction(evaluation, AUC, attacker, "all", scorer) for attacker in attackers]
        + [_percent(evaluation, HEADLINE_METRIC, attacker, "all", scorer) for attacker in attackers]
        for scorer in evaluation.scorers
    ]
    columns = ["score", *(f"{name}: {what}" for what in ("AUC", "TPR at 1 %") for name in attackers)]
    title = f"Victims not matched, for comparison with published figures only: {AWS_RECIPE}"
    return [Section(title, pd.DataFrame(rows, columns=columns), (_FLATTERY,))]


def _metrics(evaluation: Evaluation, attacker: str, slice_name: str) -> pd.DataFrame:
    rows = [
        [scorer, *(_fraction(evaluation, metric, attacker, slice_name, scorer) for metric in METRICS)]
        for scorer in evaluation.scorers
    ]
    return pd.DataFrame(rows, columns=["score", *METRICS])


def _percent(evaluation: Evaluation, metric: str, attacker: str, slice_name: str, scorer: str) -> str:
    return _text(evaluation, metric, attacker, slice_name, scorer, scale=100, digits=1)


def _fraction(evaluation: Evaluation, metric: str, attacker: str, slice_name: str, scorer: str) -> str:
    return _text(evaluation, metric, attacker, slice_name, scorer, scale=1, digits=3)


def _text(
    evaluation: Evaluation, metric: str, attacker: str, slice_name: str, scorer: str, *, scale: float, digits: int
) -> str:
    value, low, high = evaluation.find(metric, attacker=attacker, slice_name=slice_name, scorer=scorer)
    if math.isnan(value):
        return _NOTHING
    ends = "" if math.isnan(low) or scorer == CONTROL else f" [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"
    return f"{scale * value:.{digits}f}{ends}"
