"""`jupyter remote-kernel doctor`."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from remote_kernel_provider.cli.failures import OURS, RAISED
from remote_kernel_provider.cli.installation_checks import check_installation
from remote_kernel_provider.cli.kernel_checks import check_host, check_settings
from remote_kernel_provider.cli.options import example, json_option
from remote_kernel_provider.cli.rendering import echo_json
from remote_kernel_provider.cli.spec_checks import check_specs, used_lifecycles
from remote_kernel_provider.findings import OK, PROBLEM, Finding


@click.command(
    "doctor",
    epilog=example(
        "jupyter remote-kernel doctor", "jupyter remote-kernel doctor --json | jq '.[] | select(.state == \"problem\")'"
    ),
)
@json_option
def doctor_command(as_json: bool) -> None:
    """Check the installation and say what to fix.

    Looks at versions, providers, backends, kernel specs, settings, folders, and kernels that dead programs left.

    Exit status: 0, or 1 when something must be fixed.
    """
    with _without_warnings():
        findings = diagnose()
    if as_json:
        echo_json([asdict(finding) for finding in findings])
    else:
        _show(findings)
    if any(finding.state == PROBLEM for finding in findings):
        click.get_current_context().exit(RAISED)


def diagnose() -> list[Finding]:
    """Look at everything, whatever of it is broken."""
    settings, said = check_settings()
    return [*check_installation(), *said, *check_specs(settings), *check_host(settings, used_lifecycles())]


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Keep the log silent: what it would warn of is among the findings."""
    logger = logging.getLogger(OURS)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _show(findings: list[Finding]) -> None:
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        mark = {OK: "ok", PROBLEM: "FIX"}.get(finding.state, "note")
        click.echo(f"{mark:<4}  {finding.subject:<{width}}  {finding.seen}")
        if finding.remedy:
            click.echo(f"{'':<4}  {'':<{width}}  what to do: {finding.remedy}")
    problems = sum(finding.state == PROBLEM for finding in findings)
    click.echo("Nothing to fix." if not problems else f"{problems} to fix.")
