"""An engine that tests may kill and restart: beside the shared one, and with its image ready from an earlier run."""

import fcntl
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.daemon import CACHE, Daemon
from engine.images import KERNEL, is_there
from engine.ports import free_port

DATA = CACHE / "spare"
CLEAR_DEADLINE = 20.0


@dataclass(frozen=True)
class Spare:
    """An engine of the tests that use it at the moment, alone.

    Parameters
    ----------
    daemon
        Its process.
    host
        Its socket.
    tls_host
        Where it listens too, for who has the certificates.
    certificates
        Folder of these, as `DOCKER_CERT_PATH` has them.
    client
        A `docker.APIClient` for the test itself.
    """

    daemon: Daemon
    host: str
    tls_host: str
    certificates: Path
    client: Any

    def clear(self) -> None:
        """Remove all containers."""
        from docker.errors import APIError

        self.daemon.start()
        deadline = time.monotonic() + CLEAR_DEADLINE
        while containers := self.client.containers(all=True):
            assert time.monotonic() < deadline, f"{containers} cannot be removed"
            for container in containers:
                with suppress(APIError):  # somebody else removes it
                    self.client.remove_container(container["Id"], force=True, v=True)


@contextmanager
def spare_engine(shared: Any, folder: Path, *options: str) -> Iterator[Spare]:
    """Have the spare engine run with some options, with the image `KERNEL`, no containers and no Swarm.

    Parameters
    ----------
    shared
        A `docker.APIClient` of an engine that has the image.
    folder
        For its certificates.
    options
        More options of `dockerd`.
    """
    import docker

    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "spare.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make_certificates(folder)
        port = free_port()
        secured = ("--host", f"tcp://127.0.0.1:{port}", "--tlsverify", *_certificate_options(folder))
        daemon = Daemon(DATA, *secured, *options)
        daemon.stop(signal.SIGKILL)  # one that a run left which was ended
        shutil.rmtree(DATA / "swarm", ignore_errors=True)
        daemon.start()
        client = docker.APIClient(base_url=daemon.host, version="auto", timeout=120)
        spare = Spare(daemon, daemon.host, f"tcp://127.0.0.1:{port}", folder, client)
        try:
            spare.clear()
            if not is_there(client, KERNEL):
                client.load_image(shared.get_image(KERNEL))
                client.prune_images()
            yield spare
            spare.clear()
        finally:
            client.close()
            daemon.stop(signal.SIGKILL)


def _certificate_options(folder: Path) -> list[str]:
    names = {"--tlscacert": "ca.pem", "--tlscert": "server-cert.pem", "--tlskey": "server-key.pem"}
    return [word for option, name in names.items() for word in (option, str(folder / name))]


def make_certificates(folder: Path) -> None:
    """Make an authority, and certificates by it for an engine on loopback and for its clients."""
    folder.mkdir(parents=True, exist_ok=True)
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-x509")
    _openssl(folder, *new, "-subj", "/CN=tests", "-keyout", "ca-key.pem", "-out", "ca.pem")
    for prefix, use in (("server-", "serverAuth"), ("", "clientAuth")):
        signed = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-subj", f"/CN={use}")
        more = ("-addext", "subjectAltName=IP:127.0.0.1", "-addext", f"extendedKeyUsage={use}")
        more += ("-addext", "basicConstraints=critical,CA:FALSE")
        _openssl(folder, *new, *signed, *more, "-keyout", f"{prefix}key.pem", "-out", f"{prefix}cert.pem")


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", "req", *words], cwd=folder, capture_output=True, check=True)
