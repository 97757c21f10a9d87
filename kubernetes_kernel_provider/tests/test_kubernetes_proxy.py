"""A cluster behind a proxy: requests, watches and the WebSockets of port-forward all go through it."""

import asyncio
from collections.abc import Iterator

import pytest
import yaml
from cluster.fixtures import ClusterUnderTest, Namespace

from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.waiting import run

pytestmark = pytest.mark.slow


class Proxy:
    """An HTTP proxy on loopback that connects where it is asked to, and says where that was."""

    def __init__(self) -> None:
        self.targets: list[str] = []
        self._server = run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _ = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[0].split()
        assert method == "CONNECT"
        self.targets.append(target)
        host, _, port = target.rpartition(":")
        there = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))

    def close(self) -> None:
        async def close() -> None:
            self._server.close()

        run(close())


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@pytest.fixture
def proxy(cluster: ClusterUnderTest, in_namespace: Namespace, tmp_path, monkeypatch) -> Iterator[Proxy]:
    proxy = Proxy()
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["proxy-url"] = proxy.url
    file = tmp_path / "proxied.kubeconfig"
    file.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.setenv("RKP_KUBERNETES_ROUTE", "port-forward")
    yield proxy
    proxy.close()


def test_everything_goes_through_the_proxy_of_a_kubeconfig(cluster, proxy, kernels):
    manager = kernels.start("light")
    watched = len(proxy.targets)
    with Notebook(manager.connection) as notebook:
        assert notebook.run("print(6 * 7)").text == "42\n"
    server = yaml.safe_load(cluster.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    assert {f"https://{target}" for target in proxy.targets} == {server}
    assert len(proxy.targets) > watched  # a WebSocket for each channel
    run(manager.shutdown())
