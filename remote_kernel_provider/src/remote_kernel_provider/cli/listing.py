"""`jupyter remote-kernel list`."""

from __future__ import annotations

from dataclasses import asdict

import click

from remote_kernel_provider.cli.offers import offers
from remote_kernel_provider.cli.options import example, json_option
from remote_kernel_provider.cli.rendering import echo_json, echo_table


@click.command(
    "list", epilog=example("jupyter remote-kernel list", "jupyter remote-kernel list --json | jq -r '.[].name'")
)
@json_option
def list_command(as_json: bool) -> None:
    """List the kernels of all installed providers.

    Spec files that are left out are named on standard error, one line each.
    """
    kernels = sorted(offers(), key=lambda offer: offer.name)
    if as_json:
        echo_json([asdict(offer) for offer in kernels])
    elif kernels:
        rows = [(offer.name, offer.display_name, offer.language, offer.where or "-") for offer in kernels]
        echo_table(("NAME", "DISPLAY NAME", "LANGUAGE", "WHERE"), rows)
    else:
        click.echo("No kernels; install one, for example: pip install ipykernel", err=True)
