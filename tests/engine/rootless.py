"""An engine that runs without root, in namespaces of its own, as a person without rights starts one."""

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.daemon import CACHE, Daemon
from engine.daemon import obstacle as obstacle_of_any
from engine.images import KERNEL, is_there

SCRIPT = Path("/usr/share/docker.io/contrib/dockerd-rootless.sh")
"""Debian's way to start one."""
PROGRAMS = {"rootlesskit": "rootlesskit", "slirp4netns": "slirp4netns", "newuidmap": "uidmap"}
"""The programs that it needs beside those of any engine, and the Debian packages that have them."""
USER, ID = "nobody", 65534
SUBORDINATE = f"{USER}:2000000:65536\n"
"""Ids that this user may give to others in a namespace."""
LEND = f"""
set -e
for file in subuid subgid; do mount --bind "$1/subordinate" /etc/$file; done
mount --bind "$2" "$1/data"
mount -t tmpfs none /dev/net
mknod -m 666 /dev/net/tun c 10 200
shift 2
exec setpriv --reuid {ID} --regid {ID} --clear-groups "$@"
"""
"""What a machine's owner sets up for such a person, in a view of the machine's files that nobody else has."""


def obstacle() -> str:
    """Say why none can run here; empty = it can."""
    if why := obstacle_of_any():
        return why
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        return f"not installed: {', '.join(missing)}"
    return "" if SCRIPT.exists() else f"there is no {SCRIPT}"


class RootlessDaemon(Daemon):
    """One `dockerd` of a user without rights.

    Parameters
    ----------
    data
        Folder of its data and its log.
    """

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        # That user may not enter every folder above the data.
        self._data_root = self._run / "data"

    def _prepare(self) -> None:
        (self._run / "subordinate").write_text(SUBORDINATE)
        self._data_root.mkdir(exist_ok=True)
        for folder in (self._data, self._run):
            os.chown(folder, ID, ID)

    def _command(self) -> list[str]:
        own = [f"HOME={self._data_root}", f"XDG_RUNTIME_DIR={self._run}", f"PATH={os.environ['PATH']}"]
        return [
            *("unshare", "--mount", "sh", "-c", LEND, "sh", str(self._run), str(self._data)),
            *("env", "-i", *own, str(SCRIPT), *self._places(), *self._options),
        ]


@contextmanager
def rootless_engine(shared: Any) -> Iterator[Daemon]:
    """Have such an engine run, with the image `KERNEL`, which it keeps for the next time.

    Parameters
    ----------
    shared
        A `docker.APIClient` of an engine that has the image.
    """
    import docker

    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "rootless.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        daemon = RootlessDaemon(CACHE / "rootless")
        daemon.stop(signal.SIGKILL)  # one that a run left which was ended
        daemon.start()
        client = docker.APIClient(base_url=daemon.host, version="auto", timeout=120)
        try:
            if not is_there(client, KERNEL):
                client.load_image(shared.get_image(KERNEL))
                client.prune_images()
            yield daemon
        finally:
            client.close()
            daemon.stop()
