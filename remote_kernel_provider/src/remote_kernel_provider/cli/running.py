"""`jupyter remote-kernel run`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from remote_kernel_provider.cli.offers import Offer, default_offer, launchable, named
from remote_kernel_provider.cli.options import complete_kernel_names, example, launch_options, passed_environment
from remote_kernel_provider.cli.rendering import ProgressLine
from remote_kernel_provider.cli.sources import Source, read_source, write_notebook


@click.command(
    "run",
    epilog=example(
        "jupyter remote-kernel run analysis.ipynb --output executed.ipynb",
        "jupyter remote-kernel run -c 'print(6 * 7)' --kernel local/python3 --param launch_timeout=60",
    ),
)
@click.argument("source", required=False, type=click.Path())
@click.option("-c", "--code", metavar="CODE", help="The code to run, instead of a file.")
@click.option(
    "-k",
    "--kernel",
    metavar="NAME",
    shell_complete=complete_kernel_names,
    help="Such as local/python3. Default: the notebook's own, else local/python3 or the only one for the language.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Where to write the executed notebook; it is written also when a cell raised.",
)
@click.option("--timeout", type=click.IntRange(min=1), metavar="SECONDS", help="Time that each cell may take.")
@click.option("-v", "--verbose", is_flag=True, help="Say when the kernel is ready, and where the notebook is written.")
@click.option("--allow-errors", is_flag=True, help="Go on with the next cell after one that raised; exit status 0.")
@launch_options
def run_command(
    source: str | None,
    code: str | None,
    kernel: str | None,
    output: Path | None,
    timeout: int | None,
    verbose: bool,
    allow_errors: bool,
    cwd: str | None,
    params: Mapping[str, str],
    env: Mapping[str, str],
) -> None:
    """Run a notebook, a script, code or standard input on a kernel.

    SOURCE is a notebook (.ipynb), a script in the kernel's language, or - for standard input. Output is shown as it
    arrives. A notebook runs in its own folder, anything else in the current one.

    Exit status: 0, 1 when a cell raises or takes too long, 2 for wrong usage, 3 when the kernel cannot be launched or
    dies, 130 on Ctrl-C.
    """
    _check_usage(source, code, output)
    read = read_source(source, code)
    name = _kernel_name(kernel, read)
    # Imported here: wrong usage is told without waiting for the client libraries.
    from remote_kernel_provider.cli.execution import Execution, execute

    environment = passed_environment(params, env)
    folder = cwd or read.folder or os.getcwd()  # noqa: PTH109  # as text, the way kernels get it
    execution = Execution(read.notebook, name, folder, environment, timeout, allow_errors)
    with ProgressLine(name) as line:

        def ready() -> None:
            line.end()
            _say(verbose, f"Kernel {name} is ready after {line.seconds:.2f} s.")

        try:
            outcome = execute(execution, line.update, ready)
        finally:
            # Nothing ran without a kernel: what an earlier run wrote there stays.
            if output is not None and line.has_ended:
                write_notebook(read.notebook, output)
                _say(verbose, f"The executed notebook is {output.resolve()}.")
    if outcome.sentence and (read.is_notebook or not outcome.was_shown):
        click.echo(f"Error: {read.label}: {outcome.sentence}", err=True)
    _leave_standard_output_quietly()
    click.get_current_context().exit(outcome.status)


def _say(verbose: bool, sentence: str) -> None:
    if verbose:
        click.echo(sentence, err=True)


def _check_usage(source: str | None, code: str | None, output: Path | None) -> None:
    if source is not None and code is not None:
        raise click.UsageError("SOURCE and --code exclude each other.")
    if source is None and code is None and sys.stdin.isatty():
        raise click.UsageError("There is nothing to run: name a file, or pass --code.")
    if output is not None and not output.resolve().parent.is_dir():
        raise click.UsageError(f"The folder of --output does not exist: {output.resolve().parent}")


def _kernel_name(wanted: str | None, source: Source) -> str:
    if wanted and "/" in wanted:
        return wanted  # the provider says what it knows, should this be wrong
    kernels = launchable()
    if wanted:
        return named(wanted, kernels).name
    asked_for = _asked_for(source, kernels)
    offer = asked_for or default_offer(source.language, kernels)
    if not source.is_notebook:
        _note_kernel(source, offer)
    elif source.kernel and asked_for is None:
        missing = f"there is no kernel '{source.kernel}', which {source.label} names"
        click.echo(f"Warning: {missing}; it runs on {offer.name}", err=True)
    return offer.name


def _asked_for(source: Source, kernels: list[Offer]) -> Offer | None:
    """Return the kernel that the notebook names, if it is there."""
    known = {name for kernel in kernels for name in (kernel.name, kernel.spec_name, kernel.name.replace("/", ".", 1))}
    if source.kernel in known:
        return named(source.kernel, kernels)
    return None


def _note_kernel(source: Source, offer: Offer) -> None:
    """Name the kernel in the notebook that a script becomes, so that it can be opened with the same."""
    source.notebook.metadata["kernelspec"] = {
        "name": offer.spec_name,
        "display_name": offer.display_name,
        "language": offer.language,
    }


def _leave_standard_output_quietly() -> None:
    """Point standard output elsewhere when nobody reads it any more: Python would complain while it exits."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
