"""Faults under way: launches of which half fail, and images that are taken away."""

import asyncio
import uuid
from contextlib import suppress

import pytest
from docker import APIClient
from docker.errors import ImageNotFound
from engine.images import KERNEL

from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.owner import OwnerSelector
from remote_kernel_provider.testing.client import Notebook, Outcome
from remote_kernel_provider.testing.waiting import run

pytestmark = pytest.mark.slow

TINY = ("python", "-m", "tiny_kernel", "-f", "{connection_file}")
LAUNCHES = 100
AT_A_TIME = 10


def test_a_hundred_launches_of_which_half_fail(kernels, engine):
    """Each failure has its reason, each success its kernel, and nothing else is there."""
    failing = {
        "missing": (("no-such-command", "{connection_file}"), "CommandNotFound"),
        "ending": (("python", "-c", "raise SystemExit(3)", "{connection_file}"), "Error"),
    }
    for name, (argv, _) in failing.items():
        kernels.add_spec(name, argv)
    names = ["tiny", "missing", "tiny", "ending"] * (LAUNCHES // 4)
    places = asyncio.Semaphore(AT_A_TIME)

    async def one(name: str) -> str:
        async with places:
            try:
                manager = await kernels.launch(name, kernel_id=str(uuid.uuid4()))
            except LaunchError as error:
                return error.status.reason if error.status else str(error)
            assert manager.resource.id in {resource.id for resource in await _found(kernels)}
            await manager.kill()
            return ""

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*map(one, names))

    reasons = run(all_of_them(), 170)
    assert reasons == ["" if name == "tiny" else failing[name][1] for name in names]
    assert kernels.find() == []
    label = f"remote-kernel-provider.host_id={kernels.host.identity.host_id}"
    assert engine.containers(label) == []


async def _found(kernels):
    return await kernels.lifecycle.find(OwnerSelector(host_id=kernels.host.identity.host_id))


@pytest.fixture
def removable(engine):
    """Give an image that nothing else is made of: one that only has another name would just lose that."""
    name = f"rkp-test/removed-{uuid.uuid4().hex[:8]}:1"
    container = engine.client.create_container(KERNEL, ["true"], labels={"rkp-test": "copy"})["Id"]
    image = engine.client.commit(container, *name.split(":"), changes="LABEL rkp-test=image")["Id"]
    engine.client.remove_container(container, force=True)
    yield name
    with suppress(ImageNotFound):
        engine.client.remove_image(image, force=True)


def test_an_image_that_is_removed_under_a_running_kernel(kernels, engine, removable):
    """The kernel goes on and can be ended; the next launch says what is missing."""
    kernels.add_spec("removed", TINY, config={"image_name": removable, "pull_policy": "Never"})
    manager = kernels.start("removed")
    with Notebook(manager.connection) as notebook:
        # While it is in use, an engine takes its name alone.
        engine.client.remove_image(removable, force=True)
        assert notebook.run("print(6 * 7)") == Outcome("42\n")
        assert run(manager.is_alive())
    with pytest.raises(LaunchError, match=f"the image '{removable}' is not on the engine") as failure:
        kernels.start("removed")
    assert failure.value.status.reason == "ImageNotFound"
    run(manager.shutdown())
    assert kernels.find() == []


@pytest.mark.parametrize("moment", ["get_archive", "put_archive"])
def test_an_image_that_is_removed_during_a_launch(kernels, engine, removable, monkeypatch, moment):
    """Between the look into it and the kernel's container, or when that is there already, which then holds it."""
    kernels.add_spec("removed", TINY, config={"image_name": removable, "pull_policy": "Never"})
    step = getattr(APIClient, moment)

    def removing(client, *arguments, **named):
        with suppress(ImageNotFound):
            engine.client.remove_image(removable, force=True)
        return step(client, *arguments, **named)

    monkeypatch.setattr(APIClient, moment, removing)
    if moment == "get_archive":
        with pytest.raises(LaunchError, match=f"[Nn]o such image: {removable}.*correct the image's name") as failure:
            kernels.start("removed")
        assert failure.value.status.reason == "ImageNotFound"
    else:
        run(kernels.start("removed").kill())
    assert kernels.find() == []
