"""How programs end that have kernels in a cluster: they close what they opened, and complain of nothing."""

import subprocess
import sys

import pytest

from remote_kernel_provider.testing.waiting import until

pytestmark = pytest.mark.slow

BUSY = """
import asyncio, logging, sys, threading, uuid
logging.basicConfig(level=logging.WARNING)
from kubernetes_kernel_provider import following, leases
leases.RENEWAL, following.SLOW = 0.02, 0.0
from kubernetes_kernel_provider.provider import KubernetesKernelProvider
from remote_kernel_provider.host import current_host, system_identity
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.private_loop import PRIVATE_LOOP
from remote_kernel_provider.sweep import sweep_dead

host = current_host()
provider = KubernetesKernelProvider(host)
waits = threading.Event()

def launch(spec, progress=None):
    request = ClientRequest(str(uuid.uuid4()), system_identity())
    return provider.start(provider.find(spec)[0], request, progress=progress)

async def sweeps():
    while True:
        await sweep_dead(host)
        await asyncio.sleep(0.05)

async def keep_sweeping():
    host.in_background(sweeps())

def is_waiting(step):
    if step.status.reason == "RegistryUnreachable":
        waits.set()

kernel = PRIVATE_LOOP.run(launch("light"))
PRIVATE_LOOP.run(keep_sweeping())
"""
"""A program whose lease is renewed, whose host sweeps, and whose kernel is followed, all the time."""

UNDER_WAY = """
launching = PRIVATE_LOOP.submit(launch("waiting", is_waiting))
assert waits.wait(60)
"""

ENDS = {
    "at exit": UNDER_WAY,
    "in order": "PRIVATE_LOOP.run(kernel.kill()); PRIVATE_LOOP.run(host.close())",
    "in order, and then it goes on": """
PRIVATE_LOOP.run(kernel.kill())
PRIVATE_LOOP.run(host.close())
PRIVATE_LOOP.run(launch("light"))
""",
    "a loop of its own in a thread": """
async def main():
    launching = asyncio.ensure_future(launch("waiting", is_waiting))
    await asyncio.to_thread(waits.wait, 60)
    launching.cancel()
    await asyncio.wait([launching])
thread = threading.Thread(target=lambda: asyncio.run(main()))
thread.start()
thread.join()
""",
}
"""What the program does at last."""

COMPLAINTS = ("Traceback", "WARNING", "ERROR", "Unclosed", "never retrieved", "was destroyed", "never awaited")


def test_programs_end_without_a_word(kernels, waiting, in_namespace):
    programs = {
        end: subprocess.Popen(
            [sys.executable, "-W", "default", "-c", BUSY + code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for end, code in ENDS.items()
    }
    for end, program in programs.items():
        _, said = program.communicate(timeout=120)
        assert program.returncode == 0, f"{end}: {said}"
        assert not [word for word in COMPLAINTS if word in said], f"{end}: {said}"
    until(lambda: in_namespace.objects() == [], 20, "nothing is left")
