"""`jupyter remote-kernel sweep`."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence

import click

from remote_kernel_provider.cli.found import kernels_of_user
from remote_kernel_provider.cli.options import all_owners_option, example, json_option
from remote_kernel_provider.cli.rendering import age, echo_json, echo_table
from remote_kernel_provider.cli.sweep_report import Candidate, Report, Rest
from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.host import current_host
from remote_kernel_provider.leftovers import Leftover
from remote_kernel_provider.lifecycle import LifecycleManager
from remote_kernel_provider.owner import UNKNOWN
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.running import ask_all, connection_file
from remote_kernel_provider.sweep import Orphan, delete_orphan, find_orphans, in_order

log = logging.getLogger(__name__)


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
    chosen = [candidate for candidate in candidates if not candidate.kept]
    rest = PRIVATE_LOOP.run(_clear(chosen, dry_run=True))
    report = Report(dry_run, candidates, rest, PRIVATE_LOOP.run(_belongings(chosen)) if as_json else {})
    if not as_json:
        _show(candidates, rest)
    what = f"{len(chosen)} kernel(s)" + (f" and {len(rest)} other object(s)" if rest else "")
    asks = sys.stdin.isatty() and not yes
    wanted = (chosen or rest) and not dry_run and (not asks or click.confirm(f"Remove {what}?", err=True))
    if wanted:
        report.swept(*PRIVATE_LOOP.run(_sweep(chosen)))
    if as_json:
        echo_json(report.to_json())
    report.raise_first_error()
    if wanted and not as_json:
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


def _show(candidates: Sequence[Candidate], rest: Rest) -> None:
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
    for _, leftover in rest:
        click.echo(f"Left by a dead program: {leftover.kind} {leftover.name}")
    if not (rows or rest):
        click.echo("Nothing to sweep.", err=True)


async def _belongings(chosen: Sequence[Candidate]) -> dict[str, Sequence[Leftover]]:
    """Name what goes with each kernel, by its generation."""

    async def ask(candidate: Candidate) -> Sequence[Leftover]:
        resource = candidate.resource
        try:
            return await current_host().lifecycle(resource.lifecycle).belongings(resource)
        except (RemoteKernelError, OSError) as error:
            log.warning("What goes with kernel %s cannot be listed: %s", resource.kernel_id, error)
            return ()

    answers = await in_order(ask, chosen)
    return {each.resource.generation: answer for each, answer in zip(chosen, answers, strict=True)}


async def _sweep(chosen: Sequence[Candidate]) -> tuple[dict[str, Exception | None], Rest]:
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

    errors = await in_order(sweep, chosen)
    rest = await _clear((), dry_run=False)
    return {each.resource.generation: error for each, error in zip(chosen, errors, strict=True)}, rest


async def _clear(chosen: Sequence[Candidate], *, dry_run: bool) -> Rest:
    """Remove, or only name, what dead programs left beside their kernels, when those that are chosen are gone."""
    swept = {candidate.resource.generation for candidate in chosen}

    async def clear(lifecycle: LifecycleManager) -> list[tuple[str, Leftover]]:
        return [(lifecycle.name, leftover) for leftover in await lifecycle.clear(dry_run=dry_run, swept=swept)]

    found, _ = await ask_all(current_host().lifecycles(), clear)  # who cannot be asked was complained about
    return found
