"""What a look into an image found out is not looked for again, by this host or the next."""

import json
import time
from collections.abc import Callable

import pytest

from docker_kernel_provider import users
from remote_kernel_provider.testing.waiting import run

pytestmark = pytest.mark.slow


@pytest.fixture
def count_looks(kernels, engine) -> Callable[[], int]:
    """Return how many containers were made only to look into an image, as the engine tells it."""
    began = time.time()
    label = f"remote-kernel-provider.host_id={kernels.host.identity.host_id}"

    def count() -> int:
        events = engine.client.events(
            since=f"{began:.6f}",
            until=f"{time.time():.6f}",
            decode=True,
            filters={"event": "create", "label": label},
        )
        return sum(event["Actor"]["Attributes"]["name"].endswith("-look") for event in events)

    return count


def start(kernels, **config) -> None:
    name = kernels.add_spec("mine", ("python", "-m", "tiny_kernel", "-f", "{connection_file}"), config=config)
    run(kernels.start(name).kill())


def test_an_image_is_looked_into_once(kernels, make_kernels, count_looks):
    file = kernels.host.identity.folder / "docker/images.json"
    for _ in range(2):
        start(kernels)
        assert count_looks() == 1
    assert file.stat().st_mode & 0o777 == 0o600
    start(make_kernels("server-2"))  # as the next process would
    assert count_looks() == 1
    # Whoever runs as somebody else is looked up anew.
    start(kernels, uid=2000)
    assert count_looks() == 2
    assert len(json.loads(file.read_bytes())) == 2


@pytest.mark.parametrize("content", ["{", "[1]", '{"x": {"user": 0}}', '{"x": null}'])
def test_what_cannot_be_read_is_found_out_again(kernels, count_looks, content):
    file = kernels.host.identity.folder / "docker/images.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    start(kernels)
    assert count_looks() == 1
    assert len(json.loads(file.read_bytes())) == 1


def test_the_oldest_are_forgotten(kernels, count_looks, monkeypatch):
    monkeypatch.setattr(users, "KEPT", 2)
    for uid in (2000, 2001, 2002):
        start(kernels, uid=uid)
    assert len(json.loads((kernels.host.identity.folder / "docker/images.json").read_bytes())) == 2
    assert count_looks() == 3
