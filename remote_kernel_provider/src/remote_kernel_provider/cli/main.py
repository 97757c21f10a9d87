"""The group `jupyter remote-kernel`: its commands, loaded when they are used, and what their errors look like."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from remote_kernel_provider._version import __version__
from remote_kernel_provider.cli.failures import INTERRUPTED, explain, log_to_stderr
from remote_kernel_provider.cli.options import example

PROGRAM = "jupyter remote-kernel"
"""What the help texts call the command."""

EXECUTABLE = "jupyter-remote-kernel"
"""What `jupyter` runs for it, and what shells complete."""

COMPLETION_VARIABLE = "_JUPYTER_REMOTE_KERNEL_COMPLETE"
"""Environment name by which a shell asks for completions."""


EXIT_STATUS = (
    "Exit status: 0; 1 when the code that is run raises; 2 for wrong usage, parameters, specs or settings; 3 when a "
    "kernel cannot be launched or dies; 130 on Ctrl-C."
)


class LazyCommand(NamedTuple):
    """Where a command is, and the first sentence of its help."""

    module: str
    attribute: str
    summary: str


COMMANDS: Mapping[str, LazyCommand] = {
    "list": LazyCommand("listing", "list_command", "List the kernels of all installed providers."),
    "run": LazyCommand("running", "run_command", "Run a notebook, a script, code or standard input on a kernel."),
    "start": LazyCommand("starting", "start_command", "Start a kernel that goes on until it is stopped."),
    "ps": LazyCommand("kernels", "ps_command", "List the running kernels."),
    "logs": LazyCommand("kernels", "logs_command", "Print the last lines of a kernel's output."),
    "interrupt": LazyCommand("interrupting", "interrupt_command", "Interrupt what a kernel runs."),
    "restart": LazyCommand("starting", "restart_command", "End a kernel and launch it anew, with its id and its keys."),
    "stop": LazyCommand("kernels", "stop_command", "End kernels and remove all that is left of them."),
    "sweep": LazyCommand("sweeping", "sweep_command", "Remove the kernels that dead programs left behind."),
    "doctor": LazyCommand("doctor", "doctor_command", "Check the installation and say what to fix."),
    "completion": LazyCommand("completion", "completion_command", "Print the script that lets a shell complete."),
}
"""The commands in the order of the help."""


SLOW_GRAMMAR = "rfc3987_syntax"
"""A package that jsonschema, and so nbformat, imports where it is installed: it compiles a grammar of international
addresses for two seconds, and nothing that the command does checks such addresses."""


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Let the body's imports do without an optional module."""
    missing = module not in sys.modules
    if missing:
        sys.modules[module] = None  # type: ignore[assignment]  # the import system's word for "not to be had"
    try:
        yield
    finally:
        if missing:
            del sys.modules[module]


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command; None when there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        lazy = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"remote_kernel_provider.cli.{lazy.module}"), lazy.attribute)
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        """Parse the command line and run it, or answer a shell that completes."""
        with _without(SLOW_GRAMMAR):
            return super().main(*args, **extra)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' summaries; click's own method would import them all."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands and options; click's own method would import all commands."""
        matching = [name for name in COMMANDS if name.startswith(incomplete)]
        commands = [CompletionItem(name, help=COMMANDS[name].summary) for name in matching]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and turn what it raises into a line and an exit status."""
        debug = bool(ctx.params.get("debug"))
        log_to_stderr(debug=debug)
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort):
            ctx.exit(INTERRUPTED)
        except Exception as error:  # whatever it is, its explanation or its traceback is said
            failure = explain(error)
            if failure is None:
                raise
            if debug:
                traceback.print_exc()
            click.echo(failure.text, err=True)
            ctx.exit(failure.status)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{EXIT_STATUS}\n\n{example('jupyter remote-kernel run analysis.ipynb --output executed.ipynb')}",
)
@click.option("--debug", is_flag=True, help="Show tracebacks and what is logged.")
@click.version_option(__version__, prog_name=PROGRAM)
def cli(debug: bool) -> None:
    """Run code on the kernels of all installed kernel providers, and look after running kernels."""


def main() -> None:
    """Run the command line of this process."""
    cli.main(prog_name=PROGRAM, complete_var=COMPLETION_VARIABLE)
