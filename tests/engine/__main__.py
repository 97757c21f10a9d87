"""`python -m engine up|down|remove`: the tests' engine, for a person."""

import sys

from engine import images
from engine.daemon import SharedDaemon, obstacle


def main(word: str) -> None:
    """Start it with its images, stop it, or remove its images too."""
    daemon = SharedDaemon()
    if word in ("down", "remove"):
        daemon.keep(False)
        daemon.stop() if word == "down" else daemon.remove()
        return
    if why := obstacle():
        sys.exit(f"no Docker engine can be started: {why}")
    import docker

    daemon.keep(True)
    with daemon.in_use(), daemon.alone():
        client = docker.APIClient(base_url=daemon.host, version="auto", timeout=120)
        for name in (images.BASE, images.KERNEL):
            images.make(client, name)
        client.close()
    print(f"export DOCKER_HOST={daemon.host} TEST_IMAGE={images.KERNEL}")


if __name__ == "__main__":
    main(sys.argv[1])
