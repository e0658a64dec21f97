"""Commands that answer as SageMaker's inference container does: ``serve``, ``transform``."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from ipinsights.cli.data_paths import Url
from ipinsights.cli.failures import container_words
from ipinsights.cli.help_text import CommandWithExamples
from ipinsights.cli.options import COUNT, LOCAL_FOLDER, LOCAL_PATH, MODEL, MODEL_DIR, OUTPUT_FOLDER, PATH, SCORER
from ipinsights.cli.output import echo_error
from ipinsights.data.remote_names import shown_url

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COMMANDS"]


class _Serve(CommandWithExamples):
    """Command that needs the model itself, not a copy, to notice that it was replaced."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, unless it would watch a URL."""
        model = ctx.params["model_dir"]
        if ctx.params["watch_model"] and isinstance(model, Url):
            raise click.UsageError(
                f"--watch-model watches a local file, and '{shown_url(model.url)}' is a URL. "
                "Leave it out, and start the server again for a new model.",
                ctx,
            )
        return super().invoke(ctx)


@click.command(cls=_Serve)
@click.option("--model-dir", type=MODEL, help="Model directory, model_algo-1 or model.tar.gz.")
@click.option(
    "--base-dir", type=LOCAL_FOLDER, help="A container's tree (/opt/ml): its model, and all addresses as host."
)
@click.option("--host", help="Address to listen at; 127.0.0.1, and 0.0.0.0 with --base-dir, when not given.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="Port to listen at; 0 is any free port.",
)
@click.option("--workers", type=COUNT, help="Processes; one for each CPU when not given.")
@click.option("--timeout", type=COUNT, default=60, show_default=True, help="Seconds in which a request must arrive.")
@click.option(
    "--max-payload-mb",
    type=click.IntRange(1, 100),
    default=6,
    show_default=True,
    envvar="SAGEMAKER_MAX_PAYLOAD_IN_MB",
    show_envvar=True,
    help="Largest request body.",
)
@click.option("--watch-model", is_flag=True, help="Load a model file that was replaced. Without it, SIGHUP does that.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Port of Prometheus metrics. 0 is any free port.")
@click.option("--access-log", type=LOCAL_PATH, help="File for a JSON line about each request. SIGUSR1 reopens it.")
@SCORER
def serve(model_dir: Path | None, base_dir: Path | None, host: str | None, workers: int | None, **options: Any) -> None:
    """Answer requests over HTTP as SageMaker's endpoint does.

    The routes are POST /invocations and GET /ping.
    """
    from ipinsights._system import available_cpus
    from ipinsights.serving.server import Server

    model_path = base_dir / "model" if base_dir else model_dir
    if model_path is None or (model_dir and base_dir):
        raise click.UsageError("Give --model-dir, or --base-dir for a container's tree.")
    with container_words() if base_dir else nullcontext():
        Server(
            model_path=model_path,
            host=host or ("0.0.0.0" if base_dir else "127.0.0.1"),  # noqa: S104 - a container is reached from outside
            num_workers=workers or available_cpus(),
            **options,
        ).run()


@click.command(cls=CommandWithExamples)
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...", type=PATH)
@MODEL_DIR
@click.option(
    "-o",
    "--output-dir",
    required=True,
    type=OUTPUT_FOLDER,
    help="Folder of the outputs INPUT.out; an output that exists is kept.",
)
@click.option("--content-type", default="text/csv", show_default=True, help="Media type of the inputs.")
@click.option("--accept", default="application/jsonlines", show_default=True, help="Output media type.")
@click.option("--max-payload-mb", type=click.IntRange(1, 100), default=6, show_default=True, help="Size of a request.")
@SCORER
@click.option("--concurrency", type=COUNT, help="Requests at a time; one for each CPU when not given.")
def transform(inputs: tuple[Path, ...], model_dir: Path, concurrency: int | None, **options: Any) -> None:
    """Score whole files as SageMaker's batch transform does.

    The output of INPUT is INPUT.out.
    """
    from ipinsights._system import available_cpus
    from ipinsights.sagemaker.batch_transform import Transform

    done, kept = Transform(model_dir, concurrency=concurrency or available_cpus(), **options).run(inputs)
    echo_error(f"Files transformed: {done}; outputs that were there already: {kept}.")


COMMANDS = (serve, transform)
