"""Small systems of Debian's packages: what the images of the tests build on."""

import shutil
import subprocess
from pathlib import Path

from keeping import kept

SUITE = "bookworm"
PYTHON = ("python3", "python3-venv", "ca-certificates")
"""What every image of ours needs."""
SECONDS = 600.0


def system(packages: tuple[str, ...]) -> Path:
    """Return the archive of a minimal system with these packages, an uncompressed tar file.

    Made by Debian's own tools from this machine's mirror, once.

    Raises
    ------
    RuntimeError
        Says what is missing, or what failed.
    """

    def make(folder: Path) -> None:
        command = ["mmdebstrap", "--variant=minbase", "--format=tar", f"--include={','.join(packages)}", SUITE]
        if shutil.which(command[0]) is None:
            raise RuntimeError(f"not installed: {command[0]}")
        archive = str(folder / "system.tar")
        done = subprocess.run(
            [*command, archive, *_mirrors()], capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-4000:]}")

    return kept("debian", f"{SUITE} {' '.join(packages)}", make) / "system.tar"


def _mirrors() -> list[str]:
    """Return the addresses from which this machine takes this suite; none where it is another system's."""
    if shutil.which("apt-get") is None:
        return []
    command = ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({line.split()[1] for line in listed if line.split()[0] == SUITE})
