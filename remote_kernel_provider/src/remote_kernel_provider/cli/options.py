"""Options that several commands share, and what shells complete in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.parameters.environment import PARAMETER_PREFIX, PassedEnvironment

F = TypeVar("F", bound=Callable[..., Any])

OF_ANOTHER_KERNEL = frozenset({"KERNEL_ID", "KERNEL_NAME", "KERNEL_LANGUAGE"})
"""Names that a process has because it runs inside a kernel: they say nothing of the kernel that it launches."""


def complete_kernel_names(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the names of kernels that can be launched."""
    # Imported here: only who completes a name waits for the providers.
    from remote_kernel_provider.cli.offers import launchable

    try:
        kernels = launchable()
    except (RemoteKernelError, OSError):
        return []  # a shell has no place for a sentence
    return [CompletionItem(k.name, help=k.display_name) for k in kernels if k.name.startswith(incomplete)]


def complete_kernel_ids(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the ids of running kernels."""
    # As above.
    from remote_kernel_provider.cli.found import kernels_of_user

    try:
        kernels = kernels_of_user()
    except (RemoteKernelError, OSError):
        return []
    found = [kernel.resource for kernel in kernels if kernel.resource.kernel_id.startswith(incomplete)]
    return [CompletionItem(resource.kernel_id, help=resource.kernel_name) for resource in found]


def _pairs(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in value:
        name, equals, given = text.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"'{text}' is not NAME=VALUE")
        pairs[name.strip()] = given
    return pairs


def example(*lines: str) -> str:
    """Return the epilog that shows command lines as they are typed."""
    # After this character click leaves a paragraph as it is.
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")

all_owners_option = click.option(
    "--all-owners", is_flag=True, help="Include other users' kernels, as far as the backends show them; for operators."
)


def launch_options(command: F) -> F:
    """Add the options of a launch: working directory, parameters, environment."""
    for option in (
        click.option("--env", "env", multiple=True, callback=_pairs, metavar="NAME=VALUE",
                     help="Entry of the kernel's environment; repeatable."),
        click.option("--param", "params", multiple=True, callback=_pairs, metavar="NAME=VALUE",
                     help="Launch parameter, such as memory=4Gi; repeatable. Beats the environment's KERNEL_MEMORY."),
        click.option("--cwd", type=click.Path(exists=True, file_okay=False, resolve_path=True), metavar="FOLDER",
                     help="Working directory of the kernel, where the backend shares this machine's folders."),
    ):  # fmt: skip
        command = option(command)
    return command


def passed_environment(
    params: Mapping[str, str], env: Mapping[str, str], own: Mapping[str, str] | None = None
) -> PassedEnvironment:
    """Return what the user passes to a kernel, parameters as `KERNEL_*`.

    Parameters
    ----------
    params
        By name, `memory` or `KERNEL_MEMORY`; they beat `own`.
    env
        Entries of the kernel's environment.
    own
        The environment whose `KERNEL_*` entries are parameters too; by default this process's.
    """
    inherited = {
        name: value
        for name, value in (os.environ if own is None else own).items()
        if name.startswith(PARAMETER_PREFIX) and name not in OF_ANOTHER_KERNEL and not _is_own_user(name, value)
    }
    given = {_variable(name): value for name, value in params.items()}
    return PassedEnvironment({**inherited, **env, **given})


def _variable(name: str) -> str:
    upper = name.upper().replace("-", "_")
    return upper if upper.startswith(PARAMETER_PREFIX) else f"{PARAMETER_PREFIX}{upper}"


def _is_own_user(name: str, value: str) -> bool:
    """Whether an entry only repeats who runs this process: then nothing is claimed."""
    if name != "KERNEL_USERNAME":
        return False
    # Imported here: completion and help need no host.
    from remote_kernel_provider.host import system_identity

    return value == system_identity().user
