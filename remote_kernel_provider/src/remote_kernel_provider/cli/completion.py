"""`jupyter remote-kernel completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from remote_kernel_provider.cli.main import COMPLETION_VARIABLE, EXECUTABLE, cli
from remote_kernel_provider.cli.options import example


@click.command(
    "completion",
    epilog=example(
        "bash:  echo 'eval \"$(jupyter-remote-kernel completion bash)\"' >> ~/.bashrc",
        "zsh:   echo 'eval \"$(jupyter-remote-kernel completion zsh)\"' >> ~/.zshrc",
        "fish:  jupyter-remote-kernel completion fish > ~/.config/fish/completions/jupyter-remote-kernel.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the script that lets a shell complete.

    Commands, options, the names of kernels and the ids of running kernels are completed after `jupyter-remote-kernel`,
    the same command in one word: what follows `jupyter` alone is completed by Jupyter's own script.
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click has the three
    click.echo(kind(cli, {}, EXECUTABLE, COMPLETION_VARIABLE).source())
