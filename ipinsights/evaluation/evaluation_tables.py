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
    from collections.abc import Mapping

    from ipinsights.evaluation.results import Evaluation

__all__ = ["finding", "full_sections", "headline", "report"]

_UNMATCHED = (GIVEN_ATTACKS, AWS_RECIPE)
_HEADLINE_ATTACKER = {"IPv4": "other entities' networks", "IPv6": "other entities' addresses"}
_NOTHING = "-"
# Alerts this many times as frequent as promised, and this many standard deviations above, are no accident.
_FAR_ABOVE, _DEVIATIONS = 2, 4

_UNKNOWN_REMARK = (
    "The model never learned {:,} of these entities: is this the data it was trained on? Its scores of them mean "
    "nothing."
)
_AWS_REMARK = (
    "The recipe draws victims uniformly over entities, but most ordinary events are of busy ones: so a score that "
    "never looks at the address tells attacks too (the control's AUC is above 0.50), and whatever goes with activity "
    "gains. Its addresses come from anywhere, so a score needs to know no more than where an entity's part of the "
    "internet is. Compare published figures with it, and judge by the tables above."
)


def report(evaluation: Evaluation) -> Report:
    """Return what a terminal shows: the user's own attacks first, where the test has labels."""
    newest = "new /24" if evaluation.family == "IPv4" else "new /64"
    sections = (
        *_own_attacks(evaluation),
        *_hint(evaluation),
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
    return Report(headline(evaluation), sections, finding(evaluation))


def finding(evaluation: Evaluation) -> str:
    """Return the main result in one plain sentence."""
    found = _main_difference(evaluation)
    if found is None:
        return ""
    of_scorer, of_baseline, _, low, high = found
    attacks = "your labelled attacks" if _has_labels(evaluation) else "simulated attacks"
    verdict = "the difference could be chance"
    if not low <= 0 <= high:
        verdict = f"the {evaluation.main_scorer} is better" if of_scorer > of_baseline else "counting is better"
    return (
        f"The {evaluation.main_scorer} catches {100 * of_scorer:.0f} % of {attacks} and the best count "
        f"{100 * of_baseline:.0f} %: {verdict}."
    )


def headline(evaluation: Evaluation) -> str:
    """Return the main result with its numbers."""
    found = _main_difference(evaluation)
    if found is None:
        return "Nothing to tell: no attack could be drawn."
    of_scorer, of_baseline, best, low, high = found
    scorer = evaluation.main_scorer
    attacks = "your labelled attacks"
    if not _has_labels(evaluation):
        attacks = f"attacks from {_HEADLINE_ATTACKER[evaluation.family]}"
    verdict = "the difference could be chance"
    if not low <= 0 <= high:
        difference = 100 * (of_scorer - of_baseline)
        verdict = f"the {scorer} is {abs(difference):.1f} points {'better' if difference > 0 else 'worse'}"
    return (
        f"At 1 false alarm in 100 the {scorer} catches {100 * of_scorer:.1f} % of {attacks}; the best baseline, "
        f"{best}, {100 * of_baseline:.1f} %: {verdict} [{100 * low:+.1f}, {100 * high:+.1f}]."
    )


def _has_labels(evaluation: Evaluation) -> bool:
    return GIVEN_ATTACKS in set(evaluation.detection.attacker)


def _main_difference(evaluation: Evaluation) -> tuple[float, float, str, float, float] | None:
    """Return the main comparison of the scorer with the best baseline, or None.

    The values are the share of attacks that the scorer detects, the share that the baseline detects, the name of
    the baseline, and both ends of the interval of the difference.
    """
    attacker = GIVEN_ATTACKS if _has_labels(evaluation) else _HEADLINE_ATTACKER[evaluation.family]
    table = evaluation.differences
    found = table[(table.attacker == attacker) & (table.slice == "all")]
    if found.empty:
        return None
    best, difference, low, high = found.iloc[0][["best_baseline", "difference", "low", "high"]]
    of_scorer = evaluation.value(HEADLINE_METRIC, attacker=attacker, scorer=evaluation.main_scorer)
    return of_scorer, of_scorer - difference, best, low, high


def full_sections(evaluation: Evaluation) -> list[Section]:
    """Return a table of every metric for each attacker and slice."""
    pairs = evaluation.detection[["attacker", "slice"]].drop_duplicates().itertuples(index=False)
    return [
        Section(
            f"{attacker}, {name}",
            _by_scorer(evaluation, {metric: (metric, attacker) for metric in METRICS}, name, percent=()),
        )
        for attacker, name in pairs
    ]


def _data(evaluation: Evaluation) -> Section:
    facts = evaluation.facts
    num_unknown = facts["train_entities_unknown_to_model"]
    removed = {name: number for name, number in facts["attacks_removed"].items() if number}
    remarks = [
        f"Trained on {facts['train_rows']:,} events of {facts['train_entities']:,} entities; tested on "
        f"{evaluation.slices['all']:,} ordinary events.",
        *(f"  {number:,} in the slice: {name}" for name, number in evaluation.slices.items() if name != "all"),
        *([_UNKNOWN_REMARK.format(num_unknown)] if num_unknown else []),
        f"Set aside: {facts['test_rows_of_unknown_entities']:,} events of entities that training never saw.",
        *_other_family(evaluation),
        "For each ordinary event each attacker attacks its entity once.",
        *(f"  {number:,} found no address but the victim's own: {name}" for name, number in removed.items()),
        "In brackets: 95 % intervals, resampled over entities.",
    ]
    return Section("Data", None, tuple(remarks))


def _own_attacks(evaluation: Evaluation) -> list[Section]:
    """Return the table of the attacks that the test labels, if there are any."""
    title, remarks = "Your labelled attacks", _attacks_set_aside(evaluation)
    if not _has_labels(evaluation):
        return [Section(title, None, remarks)] if remarks else []
    cells = {"caught at 1 false alarm in 100, in %": (HEADLINE_METRIC, GIVEN_ATTACKS), "AUC": (AUC, GIVEN_ATTACKS)}
    remarks = remarks or ("Attacks on entities that training never saw are left out.",)
    return [Section(title, _by_scorer(evaluation, cells), remarks)]


def _attacks_set_aside(evaluation: Evaluation) -> tuple[str, ...]:
    """Return lines about the labelled attacks that are not in the table, none if all are."""
    number = evaluation.facts.get("labelled_attacks_of_unknown_entities", 0)
    if not number:
        return ()
    if evaluation.family == "IPv4":
        return (f"Set aside: {number:,} attacks on entities that training never saw.",)
    line = f"Set aside: {number:,} attacks on entities whose IPv6 events training never saw."
    if evaluation.families is None or evaluation.families.empty:
        return (line,)
    return (line, "The table of attackers who change the address family has those of them that are known from IPv4.")


def _other_family(evaluation: Evaluation) -> list[str]:
    """Return a line about test rows of the family that is not evaluated, if any."""
    facts = evaluation.facts
    ordinary, attacks = (
        facts.get(name, 0) for name in ("test_rows_of_the_other_family", "labelled_attacks_of_the_other_family")
    )
    if not ordinary and not attacks:
        return []
    other = "IPv6" if evaluation.family == "IPv4" else "IPv4"
    return [
        f"Set aside: {ordinary:,} ordinary events and {attacks:,} labelled attacks from {other}. "
        f"Training and test must both have ordinary {other} events to evaluate them."
    ]


def _hint(evaluation: Evaluation) -> list[Section]:
    """Return a hint if far more ordinary events are flagged than the calibration promised."""
    if evaluation.alerts.empty:
        return []
    alerts, num_events = evaluation.alerts, evaluation.slices["all"]
    flagged = alerts[(alerts.scorer == evaluation.main_scorer) & (alerts.slice == "all")]
    for asked, number in zip(flagged.fpr.tolist(), flagged.alerts_per_1000.tolist(), strict=True):
        share = number / 1000
        noise = math.sqrt(asked * (1 - asked) / num_events)
        if share > _FAR_ABOVE * asked and share > asked + _DEVIATIONS * noise:
            remark = (
                f"Of 1,000 ordinary events the {evaluation.main_scorer} flags {1000 * share:.1f} "
                f"where {1000 * asked:g} were asked for. "
                "Some may be attacks without a label, which count as false alarms and make it look worse than it is. "
                "Or behaviour has changed since the calibration. Look at the lowest scores of the test."
            )
            return [Section("Hint: unlabelled attacks?", None, (remark,))]
    return []


def _matched(evaluation: Evaluation) -> list[str]:
    return [name for name in evaluation.detection.attacker.unique() if name not in _UNMATCHED]


def _by_attacker(evaluation: Evaluation, slice_name: str, title: str) -> Section:
    if slice_name not in evaluation.slices:
        return Section(title, None, (f"Too few ordinary events in the slice: {slice_name}.",))
    cells = {attacker: (HEADLINE_METRIC, attacker) for attacker in _matched(evaluation)}
    return Section(title, _by_scorer(evaluation, cells, slice_name))


def _by_slice(evaluation: Evaluation) -> Section:
    scorer = evaluation.main_scorer
    columns = {
        attacker: [_cell(evaluation, HEADLINE_METRIC, attacker, name, scorer) for name in evaluation.slices]
        for attacker in _matched(evaluation)
    }
    table = pd.DataFrame({"slice": [*evaluation.slices], **columns})
    return Section(f"The {scorer} by slice (TPR at FPR 1 %, in %)", table)


def _areas(evaluation: Evaluation) -> Section:
    cells = {attacker: (AUC, attacker) for attacker in _matched(evaluation)}
    remark = "The control looks at the entity only: 0.500 says that victims are matched and the test does not leak."
    return Section("Area under the ROC curve", _by_scorer(evaluation, cells), (remark,))


def _alerts(evaluation: Evaluation) -> list[Section]:
    if evaluation.alerts.empty:
        return []
    chosen = evaluation.alerts[evaluation.alerts.slice == "all"]
    table = chosen.pivot_table(index="scorer", columns="fpr", values="alerts_per_1000").reindex(evaluation.scorers[:-1])
    rows = [
        [scorer, *(_NOTHING if math.isnan(value) else f"{value:.1f}" for value in values)]
        for scorer, values in zip(table.index, table.to_numpy(), strict=True)
    ]
    columns = ["score", *(f"{1000 * fpr:g} asked for" for fpr in table.columns)]
    remark = "Thresholds are from the calibration events; 0.0 says that a score is too coarse to be set so low."
    return [Section("Alerts per 1,000 ordinary events of the test", pd.DataFrame(rows, columns=columns), (remark,))]


def _families(evaluation: Evaluation) -> list[Section]:
    if evaluation.families is None or evaluation.families.empty:
        return []
    table = evaluation.families.copy()
    for metric in TPR_FPRS:
        table[metric] = [f"{100 * rate:.1f}" for rate in table[metric]]
    remark = "Ordinary events are those of both families. A first event from the other family is new like any network."
    return [Section("Attackers who change the address family, the history (TPR in %)", table, (remark,))]


def _unmatched(evaluation: Evaluation) -> list[Section]:
    if AWS_RECIPE not in set(evaluation.detection.attacker):
        return []
    title = f"Victims not matched, for comparison with published figures only: {AWS_RECIPE}"
    cells = {"AUC": (AUC, AWS_RECIPE), "TPR at 1 %": (HEADLINE_METRIC, AWS_RECIPE)}
    return [Section(title, _by_scorer(evaluation, cells), (_AWS_REMARK,))]


def _by_scorer(
    evaluation: Evaluation,
    cells: Mapping[str, tuple[str, str]],
    slice_name: str = "all",
    *,
    percent: tuple[str, ...] = (HEADLINE_METRIC,),
) -> pd.DataFrame:
    """Return a line for each scorer with a metric of an attacker in each column.

    Metrics in ``percent`` are shown in %, the others as fractions.
    """
    columns = {
        name: [
            _cell(evaluation, *cell, slice_name, scorer, percent=cell[0] in percent) for scorer in evaluation.scorers
        ]
        for name, cell in cells.items()
    }
    return pd.DataFrame({"score": evaluation.scorers, **columns})


def _cell(
    evaluation: Evaluation, metric: str, attacker: str, slice_name: str, scorer: str, *, percent: bool = True
) -> str:
    scale, digits = (100, 1) if percent else (1, 3)
    value, low, high = evaluation.find(metric, attacker=attacker, slice_name=slice_name, scorer=scorer)
    if math.isnan(value):
        return _NOTHING
    ends = "" if math.isnan(low) or scorer == CONTROL else f" [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"
    return f"{scale * value:.{digits}f}{ends}"
