"""The machine's rules for packets, from which engines and clusters of tests take their own when they end."""

import shlex
import subprocess
from collections.abc import Callable

PROGRAMS = ("iptables", "ip6tables")
TABLES = ("filter", "nat", "mangle", "raw")


def remove_rules(matching: Callable[[list[str]], bool]) -> None:
    """Remove rules from all tables.

    Parameters
    ----------
    matching
        Told the chain of a rule and its words; whether it is to go.
    """
    for program in PROGRAMS:
        for table in TABLES:
            for kind, *rule in _listed(program, table):
                if kind == "-A" and matching(rule):
                    _change(program, table, "-D", *rule)


def remove_chains(beginnings: tuple[str, ...]) -> None:
    """Remove the chains whose names begin so, with the rules that lead to them."""
    remove_rules(lambda rule: not rule[0].startswith(beginnings) and any(word.startswith(beginnings) for word in rule))
    for program in PROGRAMS:
        for table in TABLES:
            chains = [rule[0] for kind, *rule in _listed(program, table) if kind == "-N"]
            for step in ("-F", "-X"):
                for chain in chains:
                    if chain.startswith(beginnings):
                        _change(program, table, step, chain)


def _listed(program: str, table: str) -> list[list[str]]:
    # A table that this machine does not have holds no rules.
    listed = subprocess.run([program, "-w", "-t", table, "-S"], capture_output=True, text=True, check=False)
    return [shlex.split(line) for line in listed.stdout.splitlines()]


def _change(program: str, table: str, *words: str) -> None:
    # Somebody else may have removed it at the same moment.
    subprocess.run([program, "-w", "-t", table, *words], capture_output=True, check=False)
