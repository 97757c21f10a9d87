"""`remove`: takes away what `install` installed, and nothing else."""

from __future__ import annotations

import sys

from traitlets import Bool

from remote_kernel_provider.errors import ConfigurationError
from remote_kernel_provider.kernelspecs.installer.command_line import SpecCommand
from remote_kernel_provider.kernelspecs.installer.folders import foreign_because, remove_folder
from remote_kernel_provider.kernelspecs.installer.listing import InstalledSpec, find_installed


class SpecRemove(SpecCommand):
    """Removes installed specs; on a terminal it asks first."""

    subcommand_name = "remove"

    y = Bool(False, help="Do not ask.").tag(config=True, option=True)

    def run(self) -> None:
        """Remove."""
        locations = self.search_locations()
        specs = [find_installed(self.kind, locations, name) for name in dict.fromkeys(self.kernel_names())]
        # All are looked at before the first is removed.
        for spec in specs:
            if reason := foreign_because(spec.folder, self.kind):
                raise ConfigurationError(
                    f"{spec.folder} is not a spec of {self.kind.command} and is left alone: {reason}; remove it by hand"
                )
        for spec in specs:
            if not self._is_wanted(spec):
                raise ConfigurationError(f"{self.kind.kernel(spec.name)} was not removed")
            remove_folder(spec.folder)
            print(f"Removed {self.kind.kernel(spec.name)} from {spec.folder.parent}")

    def _is_wanted(self, spec: InstalledSpec) -> bool:
        if self.y or not sys.stdin.isatty():
            return True
        answer = input(f"Remove {self.kind.kernel(spec.name)} with the folder {spec.folder}? [y/N] ")
        return answer.strip().lower() in ("y", "yes")
