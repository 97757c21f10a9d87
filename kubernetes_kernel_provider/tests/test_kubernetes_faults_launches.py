"""Many launches that fail, are cancelled or lose their namespace: each ends with its reason, and nothing is left."""

import asyncio
import random
from collections import Counter

import pytest
from cluster.fixtures import LIGHT, Namespace

from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.launch import LaunchProgress
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow

AT_ONCE = 12
LIMIT = 280.0
"""Seconds on a machine that does much else; a quiet one needs a tenth."""
SEED = 20261121

FAILURES = {
    "exits": ({"argv": ("python", "-c", "raise SystemExit(3)", "{connection_file}")}, "Error"),
    "unknown": ({"argv": ("no-such-command", "{connection_file}")}, "CommandNotFound"),
    "absent": ({"config": {"image_name": "acme.test/absent:1", "pull_policy": "Never"}}, "ErrImageNeverPull"),
    "refused": ({"config": {"service_account_name": "nobody"}}, "NoServiceAccount"),
    "misnamed": ({"config": {"image_name": "acme/UPPER:1"}}, "InvalidImageName"),
}
"""Specs that cannot start, and why."""


@pytest.mark.timeout(300, func_only=True)
def test_a_hundred_launches_of_which_half_fail(kernels, in_namespace):
    kernels.add_spec("good", LIGHT)
    for name, (fields, _) in FAILURES.items():
        kernels.add_spec(name, **{"argv": LIGHT, **fields})

    async def launch(spec: str, slots: asyncio.Semaphore) -> tuple[str, str]:
        async with slots:
            try:
                manager = await kernels.launch(spec)
            except LaunchError as error:
                return spec, "" if error.status is None else error.status.reason
            await manager.kill()
            return spec, ""

    async def launch_all() -> list[tuple[str, str]]:
        slots = asyncio.Semaphore(AT_ONCE)
        specs = ["good", *FAILURES] * 10 + ["good"] * 40
        random.Random(SEED).shuffle(specs)
        return await asyncio.gather(*(launch(spec, slots) for spec in specs))

    ended = Counter(run(launch_all(), LIMIT))
    assert ended == Counter({("good", ""): 50} | {(name, why): 10 for name, (_, why) in FAILURES.items()})
    until(lambda: not in_namespace.objects(), 10, "the end of the last Secrets")


@pytest.mark.timeout(300, func_only=True)
def test_launches_that_are_cancelled_at_random_moments(kernels, in_namespace):
    kernels.add_spec("good", LIGHT)
    moments = random.Random(SEED)

    async def launch(seconds: float, slots: asyncio.Semaphore) -> str:
        async with slots:
            launching = asyncio.ensure_future(kernels.launch("good"))
            await asyncio.wait([launching], timeout=seconds)
            launching.cancel()
            try:
                manager = await launching
            except asyncio.CancelledError:
                return "cancelled"
            await manager.kill()
            return "launched"

    async def launch_all() -> list[str]:
        slots = asyncio.Semaphore(AT_ONCE)
        return await asyncio.gather(*(launch(moments.uniform(0, 2.5), slots) for _ in range(50)))

    ended = Counter(run(launch_all(), LIMIT))
    print(ended)
    assert ended["cancelled"] + ended["launched"] == 50
    assert ended["cancelled"] >= 10
    until(lambda: not in_namespace.objects(), 10, "the end of the last Secrets")


def test_a_namespace_that_is_deleted_under_its_kernels(kernels, cluster):
    leaving = Namespace(cluster)
    elsewhere = {"namespace": leaving.name}
    kernels.add_spec("good", LIGHT, config=elsewhere)
    kernels.add_spec("waiting", LIGHT, config={**elsewhere, "image_name": "127.0.0.1:9/acme/python:1"})
    running = kernels.start("good")
    steps: list[LaunchProgress] = []
    launching = PRIVATE_LOOP.submit(kernels.launch("waiting", progress=steps.append))
    until(lambda: any(step.status.reason == "RegistryUnreachable" for step in steps), 20, "a launch under way")
    leaving.delete()
    with pytest.raises(LaunchError, match="deleted") as failure:
        launching.result(20)
    assert failure.value.status is not None
    assert failure.value.status.reason == "Deleted"
    run(running.wait(), 20)
    assert running.status.reason in ("Deleted", "Gone")
    with pytest.raises(LaunchError) as refused:
        kernels.start("good")
    assert refused.value.status is not None
    assert refused.value.status.reason in ("NamespaceTerminating", "NoNamespace")
    run(running.cleanup())
    assert kernels.find() == []
