"""Building the one binary that is the cluster, and the images that its pods run; kept in a cache folder."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import debian
from keeping import kept, place

from cluster.errors import ClusterError
from cluster.images import (
    LAUNCHER,
    PAUSE_IMAGE,
    PYTHON_IMAGE,
    REQUIREMENTS,
    TINY_KERNEL,
    kept_packages,
    write_image,
    write_layer,
    write_own_modules,
)

KUBERNETES = "1.36.3"
"""As in `program/go.mod`; a change there must change this."""

HERE = Path(__file__).parent
PROGRAM = HERE / "program"
SOURCES = (PROGRAM / "go.mod", PROGRAM / "go.sum", PROGRAM / "main.go", PROGRAM / "pause" / "main.go")
IMAGE_SOURCES = (HERE / "images.py", TINY_KERNEL, *sorted(LAUNCHER.rglob("*.py")))


class Built:
    """What is built: the binary, and the images' archives."""

    def __init__(self) -> None:
        programs = place("cluster", _digest(SOURCES))
        self.binary = programs / "cluster"
        self.pause = programs / "pause.tar"
        self.python = place("kernel-image", _digest(IMAGE_SOURCES)) / "python.tar"

    @property
    def archives(self) -> tuple[Path, Path]:
        """The images' archives."""
        return self.pause, self.python


def build() -> Built:
    """Build what is not in the cache; whoever builds at the same time is waited for.

    Raises
    ------
    ClusterError
        Says what is missing on this machine.
    """
    kept("cluster", _digest(SOURCES), _build_programs)
    kept("kernel-image", _digest(IMAGE_SOURCES), _build_python)
    return Built()


def _digest(files: tuple[Path, ...]) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _build_programs(folder: Path) -> None:
    _build_binary(folder / "cluster")
    _build_pause(folder / "pause.tar")


def _build_binary(binary: Path) -> None:
    version = "k8s.io/component-base/version"
    major, minor, _ = KUBERNETES.split(".")
    told = {"gitVersion": f"v{KUBERNETES}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    names = [f"-X {version}.{name}={value}" for name, value in told.items()]
    names.append(f"-X k8s.io/client-go/pkg/version.gitVersion=v{KUBERNETES}")
    _go_build(binary, ".", " ".join(["-s", "-w", *names]))


def _build_pause(archive: Path) -> None:
    root = archive.parent / "pause-root"
    root.mkdir(exist_ok=True)
    _go_build(root / "pause", "./pause", "-s -w")
    layer = write_layer(archive.with_name("pause.layer"), root)
    write_image(archive, PAUSE_IMAGE, [layer], ["/pause"])
    layer.unlink()
    shutil.rmtree(root)


def _go_build(binary: Path, package: str, flags: str) -> None:
    lean = ["-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false"]
    command = ["go", "build", *lean, "-ldflags", flags, "-o", str(binary), package]
    # The tests that run meanwhile come first, and are not to be over before it is. Less debug information and garbage
    # collection save a twelfth of the processors' time.
    run("nice", "-n", "5", *command, cwd=PROGRAM, CGO_ENABLED="0", GOGC="200")


def python_layers() -> list[Path]:
    """Return the layers of `PYTHON_IMAGE`, the lowest one first: Debian's Python, packages of others, and ours.

    Raises
    ------
    ClusterError
        Says what is missing on this machine.
    """
    try:
        system = debian.system(debian.PYTHON)
    except RuntimeError as failure:
        raise ClusterError(f"{failure}; see docs/contributors/cluster.md") from None
    return [system, kept_packages("kernel-packages", REQUIREMENTS), Built().python.with_name("own.tar")]


def _build_python(folder: Path) -> None:
    root = folder / "root"
    write_own_modules(root)
    write_layer(folder / "own.tar", root)
    shutil.rmtree(root)
    write_image(folder / "python.tar", PYTHON_IMAGE, python_layers())


def run(*command: str, cwd: Path | None = None, **environment: str) -> str:
    """Run a program to its end and return what it printed.

    Raises
    ------
    ClusterError
        When it is not there, or fails.
    """
    try:
        done = subprocess.run(
            command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise ClusterError(f"'{command[0]}' is not installed; see docs/contributors/cluster.md") from None
    if done.returncode:
        raise ClusterError(f"{' '.join(command[:6])} … failed with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout
