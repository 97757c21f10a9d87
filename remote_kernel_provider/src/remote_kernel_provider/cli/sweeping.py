"""`jupyter remote-kernel sweep`."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import click

from remote_kernel_provider.cli.found import kernels_of_user
from remote_kernel_provider.cli.options import all_owners_option, example, json_option
from remote_kernel_provider.cli.rendering import age, echo_json, echo_table
from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.host import current_host
from remote_kernel_provider.lifecycle import KernelResource, LifecycleManager
from remote_kernel_provider.owner import UNKNOWN
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.running import ask_all, connection_file
from remote_kernel_provider.sweep import Orphan, delete_orphan, find_orphans, in_order

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A kernel that a sweep may remove.

    Parameters
    ----------
    resource
        The kernel.
    orphan
        The proof that its program is dead; None where nobody here can tell.
    kept
        Why it is not removed; empty = it is.
    """

    resource: KernelResource
    orphan: Orphan | None
    kept: str


@click.command("sweep", epilog=example("jupyter remote-kernel sweep --dry-run", "jupyter remote-kernel sweep"))
@click.option("--dry-run", is_flag=True, help="Only list.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--servers", is_flag=True, help="Also what dead servers left that may still come back for it.")
@all_owners_option
@click.option(
    "--force", is_flag=True, help="With --all-owners: also where nobody here can tell that the owner is dead."
)
@json_option
def sweep_command(dry_run: bool, yes: bool, servers: bool, all_owners: bool, force: bool, as_json: bool) -> None:
    """Remove the kernels that dead programs left behind.

    Lists them, asks on a terminal, and acts without asking elsewhere.
    """
    candidates = find_candidates(servers=servers, all_owners=all_owners, force=force)
    rest = PRIVATE_LOOP.run(_clear(dry_run=True))
    _show(candidates, rest, as_json)
    chosen = [candidate for candidate in candidates if not candidate.kept]
    if dry_run or not (chosen or rest):
        return
    what = f"{len(chosen)} kernel(s)" + (f" and {len(rest)} other object(s)" if rest else "")
    if sys.stdin.isatty() and not yes and not click.confirm(f"Remove {what}?", err=True):
        return
    PRIVATE_LOOP.run(_sweep(chosen))
    if not as_json:
        click.echo(f"Removed {what}.")


def find_candidates(*, servers: bool = False, all_owners: bool = False, force: bool = False) -> list[Candidate]:
    """List what a sweep may remove, and why it does not remove the rest."""
    orphans, problems = PRIVATE_LOOP.run(_orphans())
    for problem in problems:
        log.warning("%s", problem)
    candidates = [
        Candidate(orphan.resource, orphan, "" if servers or not orphan.adoptable else _until(orphan))
        for orphan in orphans
    ]
    if all_owners:
        foreign = [kernel.resource for kernel in kernels_of_user(all_owners=True) if kernel.host == UNKNOWN]
        doubt = "" if force else "nobody here can tell whether its owner is dead: --force removes it"
        candidates += [Candidate(resource, None, doubt) for resource in foreign]
    return candidates


async def _orphans() -> tuple[list[Orphan], list[str]]:
    host = current_host()
    return await ask_all(host.lifecycles(), lambda lifecycle: find_orphans(host, [lifecycle]))


def _until(orphan: Orphan) -> str:
    left = orphan.dead_since + current_host().settings.sweep_servers_after - time.time()
    return f"its server may come back: kept for {age(left)}, --servers removes it"


def _show(candidates: Sequence[Candidate], rest: Sequence[str], as_json: bool) -> None:
    if as_json:
        echo_json([_json(candidate) for candidate in candidates])
    elif candidates or rest:
        now = time.time()
        rows = [
            (
                candidate.resource.kernel_id,
                candidate.resource.kernel_name,
                candidate.resource.owner.user,
                f"{age(now - candidate.resource.created)} ago",
                candidate.kept or "to be removed",
            )
            for candidate in candidates
        ]
        if rows:
            echo_table(("ID", "NAME", "USER", "STARTED", "SWEEP"), rows)
        for name in rest:
            click.echo(f"Left by a dead program: {name}")
    else:
        click.echo("Nothing to sweep.", err=True)


def _json(candidate: Candidate) -> dict[str, object]:
    resource = candidate.resource
    return {
        "id": resource.kernel_id,
        "name": resource.kernel_name,
        "user": resource.owner.user,
        "started": resource.created,
        "where": resource.lifecycle,
        "remove": not candidate.kept,
        "kept": candidate.kept,
    }


async def _sweep(chosen: Sequence[Candidate]) -> None:
    host = current_host()

    async def sweep(candidate: Candidate) -> Exception | None:
        try:
            if candidate.orphan is not None:
                await delete_orphan(host, candidate.orphan)
            else:
                await host.lifecycle(candidate.resource.lifecycle).delete(candidate.resource, 0)
            connection_file(candidate.resource.kernel_id).unlink(missing_ok=True)
        except (RemoteKernelError, OSError) as error:
            return error
        return None

    errors = [error for error in await in_order(sweep, chosen) if error is not None]
    await _clear(dry_run=False)
    if errors:  # said when the others are gone: none stands in another's way
        raise errors[0]


async def _clear(*, dry_run: bool) -> list[str]:
    """Remove, or only name, what dead programs left beside their kernels."""

    async def clear(lifecycle: LifecycleManager) -> list[str]:
        return await lifecycle.clear(dry_run=dry_run)

    names, _ = await ask_all(current_host().lifecycles(), clear)  # who cannot be asked was complained about
    return names
