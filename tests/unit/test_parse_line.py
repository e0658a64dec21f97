"""One line of a training log is what it is."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipinsights.runs.parse_line import Kind, parse_line

from .training_logs import LINES, PREFIX


class TestParseLine:
    """One line is what it is."""

    @example("[03/04/2022 05:06:07 INFO 1] Final configuration: " + "{" * 3000 + "}")
    @example("#metrics " + '{"a":' * 5000 + "}")
    @example(
        '#metrics {"Dimensions": {"Operation": "training", "Host": 1, "epoch": []}, "StartTime": 1, "Metrics": {}}'
    )
    @example(
        '#metrics {"Dimensions": {"Operation": "training", "Host": 1}, "StartTime": 1, "Metrics": {"a": {"sum": {}}}}'
    )
    @given(st.text(max_size=200))
    def test_it_never_raises(self, text: str) -> None:
        """Any text has a kind, and no text raises an error."""
        for line in (text, PREFIX + text, PREFIX + "Final configuration: {" + text + "}", "#metrics {" + text + "}"):
            assert isinstance(parse_line(line).kind, Kind)

    @given(st.sampled_from(LINES), st.integers(0, 300), st.integers(0, 300), st.text(max_size=3))
    def test_it_never_raises_on_damaged_lines(self, line: str, start: int, length: int, text: str) -> None:
        """A piece cut out or put in makes a line unknown at worst."""
        assert isinstance(parse_line(line[:start] + text + line[start + length :]).kind, Kind)

    @pytest.mark.parametrize("name", ["Host", "Operation"])
    def test_halves_of_surrogate_pairs(self, name: str) -> None:
        """Metrics with half of a surrogate pair, which no table can show, are unknown."""
        line = '#metrics {"StartTime": 1, "Dimensions": {"Operation": "training", "Host": "algo-1"}, "Metrics": {}}'
        assert parse_line(line).kind == Kind.METRICS
        assert parse_line(line.replace(f'"{name}": "', f'"{name}": "\\ud800')).kind != Kind.METRICS

    @pytest.mark.parametrize(
        ("line", "kind"),
        [
            (PREFIX + "Something new", Kind.UNKNOWN),
            ("Something new", Kind.UNKNOWN),
            (PREFIX.replace("INFO", "ERROR") + "Something new", Kind.ERROR),
            ("[10/16/2017 23:45:17 ERROR 139 train.py:48] Additional properties are not allowed", Kind.ERROR),
            ("ClientError: x, exit code: 2", Kind.ERROR),
            ("2022-03-04 05:06:07 Failed - Training job failed", Kind.ERROR),
            ("k3-algo-1-x7 exited with code 1", Kind.ERROR),
            ("k3-algo-1-x7 exited with code 0", Kind.STATUS),
            (PREFIX + "Epoch[0] Batch [10]\tSpeed: x samples/sec", Kind.UNKNOWN),
            (PREFIX + "#quality_metric: host=algo-1, epoch=x, train a <score>=1", Kind.UNKNOWN),
            ("#metrics {broken", Kind.UNKNOWN),
            ("x" * 300_000, Kind.UNKNOWN),
            ("\t", Kind.BLANK),
        ],
    )
    def test_kinds(self, line: str, kind: Kind) -> None:
        """A line that is not quite what it seems is not understood."""
        assert parse_line(line).kind is kind

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("Compiled the training step in 20.4 seconds. Later runs load it from /a b/c.", Kind.NOTICE),
            ("Training on one CPU without MXNet. MXNet is missing: install it.", Kind.NOTICE),
            ("Training with MXNet, which is slower on a CPU. Numba is missing: install it.", Kind.NOTICE),
            (
                "The history of the initial model is not kept: set _keep_history to true to keep it.",
                Kind.WARNING,
            ),
            ("The failure file /opt/ml/output/failure cannot be written: Not a directory.", Kind.WARNING),
            ("a b.json:3: the line is longer than 1,048,576 bytes, and is not read.", Kind.WARNING),
        ],
    )
    def test_lines_of_this_project_are_known(self, text: str, kind: Kind) -> None:
        """A line that only this project logs is understood, too."""
        assert parse_line(PREFIX + text).kind is kind

    @pytest.mark.parametrize(
        "line",
        [
            PREFIX + "loaded entry point class algorithm.serve.server_config:config_api",
            PREFIX + "loading entry points",
            PREFIX + "loaded request iterator text/csv",
            PREFIX + "loaded response encoder application/jsonlines",
            PREFIX + "Number of server workers: 4",
            PREFIX + "loading model...",
            PREFIX + "...model loaded.",
            PREFIX + "Requesting context without setting the requested num of gpus. Using 'auto'",
            "[2022-03-04 05:06:07 +0000] [1] [INFO] Listening at: http://0.0.0.0:8080 (1)",
            "2022-03-04T05:06:07.048:[sagemaker logs]: MaxConcurrentTransforms=4, MaxPayloadInMB=6",
            '#metrics {"StartTime": 1.0, "EndTime": 2.0, "Dimensions": {"Algorithm": "IPInsightsModel", "Host": '
            '"UNKNOWN", "Operation": "scoring"}, "Metrics": {"invocations.count": {"sum": 1.0}}}',
        ],
    )
    def test_lines_of_serving_are_known(self, line: str) -> None:
        """A notebook's log goes on after training."""
        assert parse_line(line).kind is Kind.SERVING
