"""Kernels in pods that outlive their server: a real `jupyter server`, killed and started again under an open page."""

import pytest
from test_server_survival import Server, Tab

pytestmark = pytest.mark.slow


@pytest.fixture
def start(pods):
    """Start a server that ends with the test; its kernels do, too, so that a test that failed can run again."""
    pods.install("pod")
    started = []

    def start(**environment):
        started.append(Server(pods.home, **environment))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()
    pods.home.run("jupyter", "remote-kernel", "stop", "--all", "--yes")


@pytest.mark.parametrize("route", ["direct", "port-forward"])
async def test_an_open_page_finds_its_kernel_and_its_variables_again_after_kill_9(start, pods, route):
    server = start(RKP_KUBERNETES_ROUTE=route)
    kernel = server.start_kernel("pod")
    async with Tab(server, kernel) as tab:
        assert await tab.run("kept = 6 * 7; print('kept')") == "kept\n"
        pod = pods.pod().metadata.uid
        await tab.outlives(server.crash)
        assert list(server.kernels()) == [kernel]
        assert await tab.run("print(kept)") == "42\n"
        assert pods.pod().metadata.uid == pod
        busy = await tab.begin("import time\nprint('busy', flush=True)\nfor _ in range(600): time.sleep(0.1)")
        await tab.until_printed(busy, "busy")
        server.request("POST", f"api/kernels/{kernel}/interrupt")
        await tab.until(lambda: tab.has_ended(busy), "interrupted")
        assert await tab.run("print(kept)") == "42\n"
    server.request("DELETE", f"api/kernels/{kernel}")
    server.stop()
    pods.assert_nothing_left()
