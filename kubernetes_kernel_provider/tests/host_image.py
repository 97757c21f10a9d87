"""The image of a host in a cluster: the cluster's Python image, Jupyter Server, and wheels of this very tree."""

import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

from cluster.building import python_layers
from cluster.images import ROOT, install_packages, kept_packages, write_image, write_layer

HOST_IMAGE = "cluster.test/remote-kernels-host:1"
SOURCES = ("remote_kernel_provider", "kubernetes_kernel_provider")


def build_host_image(folder: Path) -> Path:
    """Build the image's archive in a folder.

    Parameters
    ----------
    folder
        Empty.
    """
    wheels, root = folder / "wheels", folder / "root"
    command = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", wheels, *(ROOT / source for source in SOURCES)], check=True)
    install_packages(root, "--no-deps", *map(str, wheels.glob("*.whl")))
    archive = folder / "host.tar"
    others = kept_packages("host-packages", _of_others())
    write_image(archive, HOST_IMAGE, [*python_layers(), others, write_layer(folder / "own.tar", root)])
    return archive


def _of_others() -> list[str]:
    declared = {requirement for source in SOURCES for requirement in requires(source) or ()}
    own = tuple(source.replace("_", "-") for source in SOURCES)
    needed = sorted(each for each in declared if "extra ==" not in each and not each.startswith((*own, *SOURCES)))
    return [*needed, "jupyter_server>=2.6"]
