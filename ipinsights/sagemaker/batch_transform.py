"""Batch transform on files, with the same results as SageMaker and the server's code.

Files are cut at line ends into payloads that processes answer side by side. Answers are put together in order. Both lie
on disk, so that neither files nor answers need fit into memory.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import count, groupby, islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import IO, TYPE_CHECKING, NoReturn

from tqdm import tqdm

from ipinsights._system import keep_freed_memory
from ipinsights.data.channels import check_filled, log_skipped, read_channel
from ipinsights.data.csv_errors import Source
from ipinsights.data.files import exists, is_folder, locked, open_output
from ipinsights.errors import AlgorithmError, ClientError
from ipinsights.inference.scorers import DOT_PRODUCT
from ipinsights.serving.media_types import JSON, JSON_LINES, ResponseFormat, request_media_type
from ipinsights.serving.service import InferenceModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future

__all__ = ["Transform"]

_MEBIBYTE = 2**20
# Payloads read ahead of the one that is written, for each process.
_AHEAD = 2
_FOLDER_PREFIX = ".transform-"
# Set before processes are forked, which share it.
_model: InferenceModel | None = None


@dataclass(frozen=True)
class _Payload:
    """Some lines of a file, or why the rest of it cannot be read."""

    source: Path
    target: Path
    body: bytes = b""
    first_line: int = 1
    error: ClientError | None = None


@dataclass(frozen=True)
class Transform:
    """A batch transform."""

    model_path: Path  # model directory, ``model_algo-1`` or ``model.tar.gz``
    output_dir: Path  # folder of the outputs ``<input>.out``, where existing files stay
    # Of each request, as headers have them. JSON is sent whole, CSV and JSON Lines are split by line.
    content_type: str = "text/csv"
    accept: str = JSON_LINES
    max_payload_mb: int = 6  # mebibytes of a request
    concurrency: int = 1  # requests that are answered at a time, each in a process
    scorer: str = DOT_PRODUCT  # name of the scorer, unless ``accept`` names one

    def run(self, inputs: Sequence[Path]) -> tuple[int, int]:
        """Transform files, and all files of folders. The output of an empty file is empty.

        Return the numbers of files that were transformed and of files whose output was there already. If some files
        cannot be transformed, raise an error that names each with the record and the reason. The others are.
        """
        targets, empty = self._targets(inputs)
        missing = {source: target for source, target in targets.items() if not exists(target)}
        request_media_type(self.content_type)
        ResponseFormat.negotiate(self.accept, default=JSON_LINES)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        for source in missing.keys() & empty:
            missing[source].parent.mkdir(parents=True, exist_ok=True)
            with open_output(missing[source]):
                pass
        filled = {source: target for source, target in missing.items() if source not in empty}
        failures = self._transform(filled) if filled else {}
        if failures:
            head = f"{len(failures)} of {len(targets)} files could not be transformed and have no output:"
            raise ClientError("\n  - ".join([head, *failures.values()]))
        return len(missing), len(targets) - len(missing)

    def _targets(self, inputs: Sequence[Path]) -> tuple[dict[Path, Path], set[Path]]:
        """Return the output path of each file, with its relative path, and the empty files."""
        targets: dict[Path, Path] = {}
        empty: set[Path] = set()
        for given in inputs:
            channel = read_channel(given)
            sources = sorted([*channel.files, *channel.empty])
            check_filled(sources, channel.skipped, given)
            log_skipped(channel.skipped, given)
            empty.update(channel.empty)
            for source in sources:
                name = source.relative_to(given) if is_folder(given) else Path(source.name)
                target = self.output_dir / name.with_name(f"{name.name}.out")
                if target in targets.values():
                    raise ClientError(f"Two inputs would be written to {target}: give them one at a time.")
                targets[source] = target
        return targets, empty

    def _transform(self, targets: dict[Path, Path]) -> dict[Path, str]:
        """Transform files. Return the reasons why some failed."""
        failures: dict[Path, str] = {}
        with self._processes() as (pool, folder), _progress(targets) as bar:
            names = (folder / str(number) for number in count())
            outcomes = self._in_order(pool, self._payloads(targets, failures), names)
            for target, group in groupby(outcomes, key=lambda outcome: outcome[0].target):
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    with open_output(target) as stream:
                        for payload, answer in group:
                            _append(answer, stream)
                            bar.update(len(payload.body))
                except ClientError as error:
                    failures[next(source for source in targets if targets[source] == target)] = str(error)
        return failures

    @contextlib.contextmanager
    def _processes(self) -> Iterator[tuple[ProcessPoolExecutor, Path]]:
        """Yield a pool of processes that share the model, and a folder for their answers."""
        global _model  # noqa: PLW0603 - the way to hand forks what they share
        keep_freed_memory()
        _model = InferenceModel.load(self.model_path, self.scorer)
        with _answers_folder(self.output_dir) as folder:
            pool = ProcessPoolExecutor(self.concurrency, get_context("fork"), initializer=_end_with_parent)
            try:
                # Fork before there are threads, that of the progress bar for one.
                pool.submit(int).result()
                yield pool, folder
            except BrokenProcessPool:
                raise AlgorithmError(
                    "A process of the transform was killed, perhaps for want of memory: try a lower `concurrency` or "
                    "`max_payload_mb`. Files that are finished are kept."
                ) from None
            finally:
                pool.shutdown(cancel_futures=True)

    def _in_order(
        self, pool: ProcessPoolExecutor, payloads: Iterator[_Payload], names: Iterator[Path]
    ) -> Iterator[tuple[_Payload, Future[Path] | ClientError]]:
        """Yield each payload with its answer, while the next payloads are being processed."""

        def submit(payload: _Payload) -> tuple[_Payload, Future[Path] | ClientError]:
            return payload, payload.error or pool.submit(_answer, payload, self.content_type, self.accept, next(names))

        ahead = deque(map(submit, islice(payloads, _AHEAD * self.concurrency)))
        while ahead:
            yield ahead.popleft()
            ahead.extend(map(submit, islice(payloads, 1)))

    def _payloads(self, targets: dict[Path, Path], failures: dict[Path, str]) -> Iterator[_Payload]:
        """Cut files into payloads. A file that has failed is not read to its end."""
        for source, target in targets.items():
            try:
                with Source.file(source).open() as stream:
                    for body, first_line in self._split(source, stream):
                        if source in failures:
                            break
                        yield _Payload(source, target, body, first_line)
            except ClientError as error:
                yield _Payload(source, target, error=error)

    def _split(self, source: Path, stream: IO[bytes]) -> Iterator[tuple[bytes, int]]:
        limit = self.max_payload_mb * _MEBIBYTE
        if request_media_type(self.content_type) == JSON:
            yield _whole(source, stream, limit), 1
            return
        first_line, rest = 1, b""
        while data := stream.read(limit - len(rest)):
            block = rest + data
            end = block.rfind(b"\n") + 1
            if end == 0 and len(block) == limit:
                raise ClientError(f"{source}:{first_line}: the line is longer than a payload of {limit:,} bytes.")
            if end:
                yield block[:end], first_line
                first_line += block.count(b"\n")
            rest = block[end:]
        if rest:
            yield rest, first_line


@contextlib.contextmanager
def _answers_folder(output_dir: Path) -> Iterator[Path]:
    """Yield a private folder, and remove folders of killed runs, whose locks are free."""
    for left in output_dir.glob(f"{_FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError), locked(left, wait=False):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_FOLDER_PREFIX, dir=output_dir) as name, locked(Path(name)):
        yield Path(name)


def _whole(source: Path, stream: IO[bytes], limit: int) -> bytes:
    body = stream.read(limit + 1)
    if len(body) > limit:
        raise ClientError(
            f"{source} is larger than a payload of {limit // _MEBIBYTE} MB, and JSON cannot be split: make it "
            "JSON Lines, or raise `max_payload_mb`."
        )
    return body


def _end_with_parent() -> None:
    """Let a process of the pool end when the transform was killed, which could not tell it to."""

    def wait() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def _answer(payload: _Payload, content_type: str, accept: str, path: Path) -> Path:
    """Answer a payload into a file, in a process of the pool."""
    assert _model is not None
    try:
        answer = _model.answer(
            payload.body,
            content_type=content_type,
            accept=accept,
            default=JSON_LINES,
            name=str(payload.source),
            first_line=payload.first_line,
        )
    except ClientError as error:  # of a class that cannot be passed between processes
        raise ClientError(str(error)) from None
    with path.open("wb") as stream:
        piece = b""
        for piece in answer.pieces:
            stream.write(piece)
        if not piece.endswith(b"\n"):
            stream.write(b"\n")
    return path


def _append(answer: Future[Path] | ClientError, stream: IO[bytes]) -> None:
    if isinstance(answer, ClientError):
        raise answer
    path = answer.result()
    with path.open("rb") as content:
        shutil.copyfileobj(content, stream, _MEBIBYTE)
    path.unlink()


def _progress(sources: Iterable[Path]) -> tqdm[NoReturn]:
    total = sum(source.stat().st_size for source in sources)
    return tqdm(total=total, desc="transform", unit="B", unit_scale=True, leave=False, disable=None)
