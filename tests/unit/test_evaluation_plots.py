"""Evaluation plots: labelled axes, distinguishable colours and strokes, reproducible bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.pairs import Pairs
from ipinsights.evaluation.evaluation_plots import draw_embeddings, draw_rocs, draw_scores, svg
from ipinsights.evaluation.results import AWS_RECIPE, GIVEN_ATTACKS, MODEL
from ipinsights.inference.predictor import Predictor
from ipinsights.model.artifact import Artifact
from ipinsights.model.bloom import BloomFilter
from ipinsights.reporting.plot_style import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCORERS = (MODEL, "Witten-Bell counts", "longest prefix", "Freeman's ratio", "address seen")


def random_predictor(rng: np.random.Generator) -> Predictor:
    """Return a predictor with random parameters."""
    params = {
        "entity_weight": rng.normal(size=(10, 8)).astype(np.float32),
        "ip_octet_weight": rng.normal(size=(1024, 2)).astype(np.float32),
    }
    seen = BloomFilter(np.full(2, 255, dtype=np.uint8))
    return Predictor(Artifact(Hyperparameters(10, 8, num_ip_encoder_layers=0), params, seen, {}))


def scores_figure(rng: np.random.Generator) -> Figure:
    """Draw three distributions, and one that must be left out."""
    names = ("ordinary", "random addresses", "announced ranges", AWS_RECIPE)
    return draw_scores({name: rng.normal(place, 1, 1000).astype("f4") for place, name in enumerate(names)})


def rocs_figure() -> Figure:
    """Draw two attackers, and one that must be left out."""
    curve = np.geomspace(1e-4, 1, 50).tolist(), np.linspace(0, 1, 50).tolist()
    attackers = ("random addresses", GIVEN_ATTACKS, AWS_RECIPE)
    return draw_rocs({attacker: dict.fromkeys(SCORERS, curve) for attacker in attackers})


def map_figure(rng: np.random.Generator, num_networks: int = 60) -> Figure:
    """Draw a number of networks."""
    ips = (np.repeat(0x0B00 + 7 * np.arange(num_networks), 3) << 16) + rng.integers(2**16, size=3 * num_networks)
    return draw_embeddings(random_predictor(rng), Pairs(np.zeros(len(ips), dtype=np.uint64), ips.astype(np.uint32)))


def test_every_axis_says_what_it_is(rng: np.random.Generator) -> None:
    """Each axis of each panel and the bar of colours has a label."""
    for figure in (scores_figure(rng), rocs_figure(), map_figure(rng)):
        for axes in figure.axes:
            assert axes.get_ylabel()
            assert axes.get_xlabel() or axes.get_label() == "<colorbar>"


def test_scores_are_told_apart_by_colour_and_by_stroke(rng: np.random.Generator) -> None:
    """Each attacker has a colour of Okabe and Ito's palette, and neighbours differ in stroke."""
    (axes,) = scores_figure(rng).axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "ordinary events", "attacks: random addresses", "attacks: announced ranges"
    ]  # fmt: skip
    from matplotlib.colors import to_hex

    outlines = [patch for patch in axes.patches if not patch.get_fill()]
    assert [to_hex(patch.get_edgecolor()).upper() for patch in outlines] == list(COLOURS[:3])
    assert len({patch.get_linestyle() for patch in outlines}) == 3


def test_curves_have_a_logarithmic_false_alarm_rate() -> None:
    """Each attacker but AWS's recipe has a panel with model, three baselines and chance.

    The false positive rate has a logarithmic axis.
    """
    figure = rocs_figure()
    assert [axes.get_title() for axes in figure.axes] == [
        "random addresses", "attacks of the test file (victims not matched)"
    ]  # fmt: skip
    for axes in figure.axes:
        assert axes.get_xscale() == "log"
        assert len(axes.lines) == 5
        assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 5
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [*SCORERS[:4], "chance"]


@pytest.mark.parametrize("num_networks", [1, 3, 4, 60])
def test_the_map_has_a_dot_per_network(rng: np.random.Generator, num_networks: int) -> None:
    """However few there are; some are named, in full."""
    axes = map_figure(rng, num_networks).axes[0]
    assert len(np.asarray(axes.collections[0].get_offsets())) == num_networks
    names = [text.get_text() for text in axes.texts]
    assert 1 <= len(names) <= 12
    assert all(name.endswith(".0.0/16") for name in names)


def test_svg_is_the_same_each_time_and_has_a_name(rng: np.random.Generator) -> None:
    """The SVG of a plot is reproducible and has an accessible name."""
    first, second = (svg(rocs_figure(), "Curves") for _ in range(2))
    assert first == second
    root = ET.fromstring(first)  # noqa: S314 - our own
    assert (root.get("role"), root.get("aria-label")) == ("img", "Curves")
    first, second = (svg(map_figure(np.random.default_rng(3)), "Networks") for _ in range(2))
    assert first == second
    assert svg(scores_figure(rng), "Scores").startswith("<svg ")
