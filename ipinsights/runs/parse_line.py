r"""Parser of one line of a training log: its kind, and the values in it.

The formats are those of the original's containers (Python 2.7, 3.7 and 3.8) and ours. ``docs/explanation/fidelity.md``
lists them. Any other line has kind ``Kind.UNKNOWN``: nothing is guessed.
"""

from __future__ import annotations

import ast
import enum
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Kind", "Line", "parse_line"]

_LONGEST_LINE = 2**18
# All hyperparameters take some 600 characters.
_LONGEST_CONFIGURATION = 2**14


_UNREADABLE = (ValueError, TypeError, SyntaxError, KeyError, AttributeError, RecursionError, MemoryError, OverflowError)


class Kind(str, enum.Enum):
    """Kind of a line. The value is the text for users."""

    BATCH_METRIC = "metric inside an epoch"
    BLANK = "blank"
    CONFIGURATION = "configuration"
    CONTINUATION = "continuation of the line before"
    EPOCH_METRIC = "metric of an epoch"
    ERROR = "error"
    METRICS = "#metrics"
    NOTICE = "notice of the container"
    PROGRESS = "progress"
    RESUMPTION = "resumption from a checkpoint"
    ROUNDED_METRIC = "metric of an epoch, rounded"
    SERVING = "serving"
    SPEED = "speed"
    START = "start of the container"
    STATUS = "status of the platform"
    THROUGHPUT = "throughput"
    TIME_COST = "duration of an epoch"
    TRACEBACK = "traceback"
    UNKNOWN = "not understood"
    WARNING = "known warning"


@dataclass(frozen=True)
class Line:
    """A parsed line."""

    kind: Kind
    fields: dict[str, Any] = field(default_factory=dict)  # values by name, as numbers and dicts where they are such
    thread: str | None = None  # identifier of the thread that logged it, where the line has a prefix

    @property
    def is_prefixed(self) -> bool:
        """Whether it begins with ``[date time level thread]``."""
        return self.thread is not None


def parse_line(text: str) -> Line:
    """Return the kind and the values of a line of the container. No line raises an error."""
    if not text.strip():
        return Line(Kind.BLANK)
    if len(text) > _LONGEST_LINE:
        return Line(Kind.UNKNOWN)
    prefix = _PREFIX.match(text)
    if prefix is None:
        return Line(*_find(text, _BARE))
    kind, fields = _find(prefix["message"], _LOGGED)
    if prefix["level"] in {"ERROR", "CRITICAL", "FATAL"}:
        kind, fields = Kind.ERROR, {"message": prefix["message"]}
    return Line(kind, fields, prefix["thread"])


def _find(message: str, grammar: _Grammar) -> tuple[Kind, dict[str, Any]]:
    for kind, pattern in grammar:
        found = pattern.match(message)
        if found is None:
            continue
        try:
            if kind is Kind.METRICS:
                return _metrics(found["metrics"])
            given = {name: value for name, value in found.groupdict().items() if value is not None}
            return kind, {name: _CONVERTERS.get(name, str)(value) for name, value in given.items()}
        except _UNREADABLE:
            return Kind.UNKNOWN, {}
    return Kind.UNKNOWN, {}


def _configuration(text: str) -> dict[str, str]:
    """Read Python's repr of a dict. 2.7 wrote u'..' where 3 writes '..'."""
    if len(text) > _LONGEST_CONFIGURATION:
        raise ValueError(text)
    return {str(name): str(value) for name, value in ast.literal_eval(text).items()}


def _metrics(text: str) -> tuple[Kind, dict[str, Any]]:
    """Read the JSON of a ``#metrics`` line. A sum is the value, since all counts are 1."""
    content = json.loads(text)
    json.dumps(
        content, ensure_ascii=False
    ).encode()  # a half of a surrogate pair, which is damage, is a ValueError here
    dimensions = content["Dimensions"]
    if dimensions["Operation"] != "training":
        return Kind.SERVING, {}
    return Kind.METRICS, {
        "host": str(dimensions["Host"]),
        "epoch": int(dimensions["epoch"]) if "epoch" in dimensions else None,
        "start": float(content["StartTime"]),
        "sums": {name: float(statistics["sum"]) for name, statistics in content["Metrics"].items()},
    }


def _speed_metrics(text: str) -> dict[str, float]:
    """Read ``<TAB>name=value`` pairs."""
    return {name: float(value) for name, value in (pair.split("=") for pair in text.split("\t") if pair)}


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "epoch": int,
    "batch": int,
    "last_batch": int,
    "value": float,
    "percent": float,
    "configuration": _configuration,
    "running": _speed_metrics,
}
_Grammar = tuple[tuple[Kind, re.Pattern[str]], ...]


def _grammar(*rules: tuple[Kind, str]) -> _Grammar:
    return tuple((kind, re.compile(pattern)) for kind, pattern in rules)


_PREFIX = re.compile(
    r"\[(?P<time>\d\d/\d\d/\d{4} \d\d:\d\d:\d\d) (?P<level>[A-Z]+) (?P<thread>\d+)(?: [\w.-]+:\d+)?\] ?(?P<message>.*)$"
)
_INDEX = r"(?:{})=(?P<{}>\d{{1,9}})"
_EPOCH, _BATCH = _INDEX.format("epoch", "epoch"), _INDEX.format("batch", "batch")
_QUALITY = r"(?P<phase>\w+) (?P<metric>\w+) <\w+>=(?P<value>\S+)$"
# Lookaheads keep the rules linear: where one holds, what follows has a single place to begin at.
_SOURCE = r"(?:(?!: \{).)+"
_CONTAINER = r"(?=\S*algo-\d)\S+"
_ENVIRONMENT = r"(?:envs=|Environment: )?\{(?=.*'(?:DMLC|SAGEMAKER|PATH|ENVROOT)).*\}$"
_EPOCH_LINE = r"Epoch\[(?P<epoch>\d{1,9})\] "

# Lines with a prefix. The first that fits counts.
_LOGGED = _grammar(
    (Kind.BATCH_METRIC, rf"#quality_metric: host=(?P<host>\S+), {_EPOCH}, {_BATCH},? {_QUALITY}"),
    (Kind.EPOCH_METRIC, rf"#quality_metric: host=(?P<host>\S+), {_EPOCH}, {_QUALITY}"),
    (
        Kind.SPEED,
        rf"{_EPOCH_LINE}Batch \[(?P<batch>\d{{1,9}})\]\s+Speed: (?P<value>\S+) samples/sec(?P<running>(?:\t\w+=\S+)*)$",
    ),
    (Kind.ROUNDED_METRIC, _EPOCH_LINE + r"(?P<phase>Train|Validation)-(?P<metric>\w+)=(?P<value>\S+)$"),
    (Kind.TIME_COST, _EPOCH_LINE + r"Time cost=(?P<value>\S+)$"),
    (Kind.PROGRESS, r"#progress_metric: host=(?P<host>\S+), completed (?P<percent>\S+) % of epochs$"),
    (Kind.THROUGHPUT, r"#throughput_metric: host=(?P<host>\S+), train throughput=(?P<value>\S+) records/second$"),
    (Kind.METRICS, r"#metrics (?P<metrics>\{.*\})$"),
    (
        Kind.CONFIGURATION,
        rf"Reading (?P<role>default) configuration from (?P<source>{_SOURCE}): (?P<configuration>\{{.*\}})$",
    ),
    (
        Kind.CONFIGURATION,
        rf"(?:Reading|Merging with) (?P<role>provided) configuration from (?P<source>{_SOURCE}): "
        r"(?P<configuration>\{.*\})$",
    ),
    (Kind.CONFIGURATION, r"(?P<role>Final) configuration: (?P<configuration>\{.*\})$"),
    (Kind.NOTICE, r"nvidia-smi(?::)? took:? (?P<value>\S+) sec(?:ond)?s to (?:run|identify \d+ gpus)\.?$"),
    (Kind.NOTICE, r"nvidia-smi identified \d+ GPUs\.$"),
    (Kind.NOTICE, r"Number of GPUs being used: \d+$"),
    (Kind.NOTICE, r"Using default worker\.$"),
    (Kind.NOTICE, r"Loaded iterator creator \S+ for content type \(.*\)$"),
    (Kind.NOTICE, r"Checkpoint loading and saving are (?:dis|en)abled\.$"),
    (Kind.NOTICE, r"Create Store: \w+$"),
    (Kind.NOTICE, r"Num unique classes of label: \[.*\]$"),
    (Kind.NOTICE, r'Wrote checkpoint ".*" in [\d.]+ seconds\.$'),
    (
        Kind.RESUMPTION,
        r'Resuming from checkpoint ".*": epoch (?P<epoch>\d{1,9}), after batch (?P<last_batch>-?\d{1,9})\.$',
    ),
    (Kind.NOTICE, r'Saved checkpoint to ".*"$'),
    (Kind.NOTICE, r"Test data is not provided\.$"),
    (Kind.NOTICE, r"Launching parameter server for role \w+$"),
    (Kind.NOTICE, _ENVIRONMENT),
    (Kind.WARNING, r"Loggers have already been setup\.$"),
    (Kind.WARNING, r"Already bound, ignoring bind\(\)$"),
    (Kind.WARNING, r"optimizer already initialized, ignoring\.\.\.$"),
    (Kind.WARNING, r"wait_for_all_workers will not sync workers since the kv store is not running distributed$"),
    (Kind.WARNING, r"These hyperparameters change nothing: .*$"),
    (Kind.WARNING, r"SIGTERM received: stopping\.$"),
    (Kind.WARNING, r"The job was stopped before (?:its first batch|training began): there is no model to save\.$"),
    (Kind.WARNING, r"Skipped in the folder .*: .*\.$"),
    (Kind.WARNING, r"\S+ seconds are over: stopping\.$"),
    (Kind.WARNING, r"Checkpoint .* is damaged and passed over for the one before: .*$"),
    (Kind.WARNING, r"The job asks for \d+ epochs, and its checkpoint has more: .*$"),
    (Kind.WARNING, r"The checkpoint directory .* cannot be locked: .*$"),
    (Kind.WARNING, r"Hosts keep step with _kvstore '\w+', too: .*\.$"),
    (Kind.WARNING, r"One row of the entity table has \d+ % of the training pairs, .*\.$"),
    (Kind.WARNING, r"The hosts round differently: .*\.$"),
    (Kind.WARNING, r"The \w+ of host '.*' did not leave by itself\.$"),
    (Kind.NOTICE, r"No better validation discriminator_auc in \d+ epochs: stopping\.$"),
    (Kind.NOTICE, r"Keeping the model of epoch \d+, the best: validation discriminator_auc \S+\.$"),
    (Kind.NOTICE, r"Training (?:\d+ of )?\d+ entity vectors of \d+ dimensions takes \S+ GB of memory at its peak\.$"),
    (Kind.NOTICE, r"Saving the model to .*\.$"),
    (Kind.NOTICE, r"Compiled the training step in \S+ seconds\. Later runs load it from .*\.$"),
    (Kind.NOTICE, r"Training on one CPU without MXNet\. .*$|Training with MXNet, which is slower on a CPU\. .*$"),
    (Kind.WARNING, r"The history of the initial model is not kept: .*\.$"),
    (Kind.WARNING, r"The failure file .* cannot be written: .*\.$"),
    (Kind.WARNING, r".*:\d+: the line is longer than \S+ bytes, and is not read\.$"),
    (Kind.SERVING, r"loaded entry point class \S+$|loading entry points$"),
    (Kind.SERVING, r"loaded (?:request iterator|response encoder) \S+$"),
    (Kind.SERVING, r"Number of server workers: \d+$"),
    (Kind.SERVING, r"loading model\.\.\.$|\.\.\.model loaded\.$"),
    (Kind.SERVING, r"Requesting context without setting the requested num of gpus\. Using 'auto'$"),
)

_STATUS_WORDS = (
    "Starting|Pending|Downloading|Training|Uploading|Stopping|Stopped|Completed|Interrupted|Restarting"
    "|Launching|Preparing|MaxRuntimeExceeded|MaxWaitTimeExceeded"
)

# Lines without one.
_BARE = _grammar(
    (Kind.METRICS, r"#metrics (?P<metrics>\{.*\})$"),
    (Kind.START, r"Docker entrypoint called with argument\(s\): (?P<command>\w+).*$"),
    (Kind.NOTICE, r"Running default environment configuration script$"),
    (Kind.NOTICE, r"Process \d+ is a (?:worker|shell:scheduler|shell:server|shell:worker)\.$"),
    (Kind.ERROR, r"(?P<message>(?:ClientError|AlgorithmError|InternalServerError|CustomerError)\b.*)$"),
    (Kind.ERROR, r"(?P<message>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d Failed - .*)$"),
    (Kind.ERROR, r"(?P<message>(?:Error for|UnexpectedStatusException: Error for) \w+ job .*)$"),
    (Kind.ERROR, rf"(?P<message>{_CONTAINER} exited with code [1-9]\d*)$"),
    (Kind.ERROR, r"(?P<message>\[\d\d:\d\d:\d\d\] \S+:\d+: .*(?:Check failed|[Ee]rror:).*)$"),
    (Kind.TRACEBACK, r"Traceback \(most recent call last\):$"),
    (Kind.TRACEBACK, r"(?:During handling of the above|The above) exception.*:$"),
    (Kind.WARNING, r"\[\d\d:\d\d:\d\d\] \S+:\d+: .*$"),
    (Kind.WARNING, r"\S+\.py:\d+: (?P<category>\w*Warning): .*$"),
    (Kind.STATUS, rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d (?:{_STATUS_WORDS}) - .*$"),
    (Kind.STATUS, r"\.+$"),
    (Kind.STATUS, r"ProfilerReport-\d+: \w+$"),
    (Kind.STATUS, r"(?:Training|Billable) seconds: *\d+$|Managed Spot Training savings: .*%$"),
    (Kind.STATUS, r"INFO:(?:sagemaker|root)\S*:.*$"),
    (Kind.STATUS, rf"Attaching to .*$|{_CONTAINER} exited with code 0$|Creating {_CONTAINER} *\.\.\. *\w*$"),
    (Kind.SERVING, r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000\] \[\d+\] \[\w+\] .*$"),
    (Kind.SERVING, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+:\[sagemaker logs\]: .*$"),
    (Kind.NOTICE, r"Nvidia gpu devices, drivers and cuda toolkit versions .*:$"),
    (Kind.NOTICE, r"\+[-=+]+\+$|\|.*\|$|\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}$"),
    (Kind.NOTICE, r"Checking for nvidia driver and cuda compatibility\.$|CUDA Compatibility driver provided\.$"),
    (Kind.NOTICE, r"Proceeding with compatibility check between driver, cuda-toolkit and cuda-compat\.$"),
    (Kind.NOTICE, r"Detected (?:cuda-toolkit|cuda-compat|Nvidia driver) version: \S+$"),
    (Kind.NOTICE, r"Nvidia driver (?:is )?(?:not )?compatible with cuda-toolkit\..*$"),
    (Kind.NOTICE, _ENVIRONMENT),
)
