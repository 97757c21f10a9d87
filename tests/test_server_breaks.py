"""A connection to a pod that breaks and comes back: cells say what they may lack, and none waits for ever."""

import asyncio

import pytest
from cluster.relay import Relay
from jupyter_homes import eventually
from pods import PodHome
from test_server_survival import Server, Tab

pytestmark = pytest.mark.slow

TICK = """
import time
try:
    while True:
        print("tick", flush=True)
        time.sleep(0.1)
except KeyboardInterrupt:
    print("told")
"""


@pytest.fixture
def pods(home, cluster, namespace):
    pods = PodHome(home, cluster, namespace)
    pods.install("pod")
    return pods


@pytest.fixture
def relay(pods, cluster, tmp_path):
    """A relay through which the server reaches the cluster, and its kernels."""
    file = tmp_path / "kubeconfig"
    relay = Relay.before(cluster.kubeconfig, file)
    pods.home.environment |= {"KUBECONFIG": str(file), "RKP_KUBERNETES_ROUTE": "port-forward"}
    yield relay
    relay.close()


@pytest.fixture
def server(pods, relay):
    server = Server(pods.home)
    yield server
    relay.mend()
    for kernel in server.kernels():
        server.request("DELETE", f"api/kernels/{kernel}")
    server.stop()
    print(server.log_text())
    pods.assert_nothing_left()


async def test_a_connection_that_breaks(server, relay):
    kernel = await asyncio.to_thread(server.start_kernel, "pod")
    async with Tab(server, kernel) as tab:
        await tab.run("import time; kept = 6 * 7")
        # One cell goes on over the break, and another is sent into it.
        over = await tab.begin(TICK)
        await tab.until_printed(over, "tick")
        relay.cut()
        into = await tab.begin("print(kept)")
        await asyncio.sleep(1)  # the break itself
        relay.mend()
        await tab.until(lambda: "may be missing" in tab.text(over, "stderr"), "told of the break")
        assert not tab.has_ended(over)
        await asyncio.to_thread(server.request, "POST", f"api/kernels/{kernel}/interrupt")
        await tab.until(lambda: tab.has_ended(over) and tab.has_ended(into), "ended")
        assert tab.text(over).endswith("told\n")
        # What is sent at the moment of the break may be lost; it is told, then, and never waited for.
        assert tab.text(into) == "42\n" or "may not have run at all" in tab.text(into, "stderr")
        # A cell ends while nobody hears of it.
        short = await tab.begin("print('begun', flush=True); time.sleep(1)")
        await tab.until_printed(short, "begun")
        relay.cut()
        await asyncio.sleep(2.5)
        relay.mend()
        await tab.until(lambda: tab.has_ended(short), "ended")
        assert "does not run any more" in tab.text(short, "stderr")
        # The server itself did not hear of it either, and asks.
        await asyncio.to_thread(
            eventually, lambda: server.kernels()[kernel]["execution_state"] == "idle", 10, lambda: "it stays busy"
        )
        assert await tab.run("print(kept)") == "42\n"
        assert tab.text(short, "stderr").count("lost") <= 2
