"""What `jupyter remote-kernel sweep` finds and removes, and how it shows it as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remote_kernel_provider.leftovers import Leftover
from remote_kernel_provider.lifecycle import KernelResource
from remote_kernel_provider.sweep import Orphan

Rest = Sequence[tuple[str, Leftover]]
"""What dead programs left beside their kernels, each with the name of its backend."""


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

    @property
    def reason(self) -> str:
        """Why it counts as left."""
        return "its program is dead" if self.orphan is not None else "nobody here can tell whether its program is dead"


class Report:
    """What a sweep found, and what became of it.

    Parameters
    ----------
    dry_run
        Whether nothing is to be removed.
    candidates, rest
        What was found.
    belongings
        What goes with each kernel, by its generation.
    """

    def __init__(
        self,
        dry_run: bool,
        candidates: Sequence[Candidate],
        rest: Rest,
        belongings: Mapping[str, Sequence[Leftover]],
    ) -> None:
        self._dry_run = dry_run
        self._candidates = candidates
        self._rest = rest
        self._belongings = belongings
        self._errors: Mapping[str, Exception | None] = {}
        self._removed: Rest = ()

    def swept(self, errors: Mapping[str, Exception | None], rest: Rest) -> None:
        """Take in how the removal of each kernel ended, by its generation, and what else was removed."""
        self._errors = errors
        self._removed = rest

    def raise_first_error(self) -> None:
        """Raise what went wrong first, now that the others are gone: none stands in another's way."""
        for error in self._errors.values():
            if error is not None:
                raise error

    def to_json(self) -> dict[str, object]:
        """Return what `--json` shows; `docs/users/kernels.md` says what it means."""
        objects = [
            _object(candidate.resource.lifecycle, leftover, candidate.reason, self._is_removed(candidate), candidate)
            for candidate in self._candidates
            for leftover in self._belongings.get(candidate.resource.generation, ())
        ]
        named = {(each["where"], each["kind"], each["name"]) for each in objects}
        rest = [*self._rest, *(each for each in self._removed if each not in self._rest)]
        objects += [
            _object(backend, each, each.reason, (backend, each) in self._removed)
            for backend, each in rest
            if (backend, each.kind, each.name) not in named  # a cluster may be slow to remove what a pod owns
        ]
        return {
            "dry_run": self._dry_run,
            "kernels": [self._kernel(candidate) for candidate in self._candidates],
            "objects": objects,
        }

    def _is_removed(self, candidate: Candidate) -> bool:
        generation = candidate.resource.generation
        return generation in self._errors and self._errors[generation] is None

    def _kernel(self, candidate: Candidate) -> dict[str, object]:
        resource = candidate.resource
        return {
            "id": resource.kernel_id,
            "name": resource.kernel_name,
            "user": resource.owner.user,
            "started": resource.created,
            "where": resource.lifecycle,
            "reason": candidate.reason,
            "remove": not candidate.kept,
            "kept": candidate.kept,
            "removed": self._is_removed(candidate),
            "error": str(self._errors.get(resource.generation) or ""),
        }


def _object(
    backend: str, leftover: Leftover, reason: str, removed: bool, of: Candidate | None = None
) -> dict[str, object]:
    return {
        "kind": leftover.kind,
        "name": leftover.name,
        "reason": reason,
        "where": backend,
        "kernel": None if of is None else of.resource.kernel_id,
        "removed": removed,
    }
