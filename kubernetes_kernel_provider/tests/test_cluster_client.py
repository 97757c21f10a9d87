"""Requests: credentials that run out, certificates, proxies, answers that are none, and the end of the client."""

import asyncio
import base64
import gc
import json
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from aiohttp import web
from api_servers import credential, serving
from kubernetes.aio.config import incluster_config

from kubernetes_kernel_provider.client import configuration
from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.client.errors import ClientClosedError, ClusterError, ClusterUnreachableError
from remote_kernel_provider.errors import ConfigurationError


async def test_credentials_that_ran_out_are_fetched_anew(write_kubeconfig, write_plugin, client, tmp_path):
    seen = []

    async def handler(request):
        seen.append(request.headers.get("Authorization"))
        if seen[-1] == "Bearer old":
            return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"}, status=401)
        return web.json_response({"gitVersion": "v1"})

    ran = tmp_path / "ran"
    script = f"[ -e {ran} ] && exec echo '{credential('new')}'; touch {ran}; echo '{credential('old')}'"
    async with serving(handler) as server:
        write_kubeconfig(server, user=write_plugin(script))
        assert await client.request("GET", "/version") == {"gitVersion": "v1"}
    assert seen == ["Bearer old", "Bearer new"]


async def test_credentials_that_run_out_break_nobody_elses_requests(write_kubeconfig, write_plugin, client, tmp_path):
    begun, released = asyncio.Semaphore(0), asyncio.Event()

    async def handler(request):
        if request.path == "/slow":
            begun.release()
            await released.wait()
        elif request.headers.get("Authorization") == "Bearer old":
            return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"}, status=401)
        return web.json_response({"said": request.headers.get("Authorization")})

    ran = tmp_path / "ran"
    script = f"[ -e {ran} ] && exec echo '{credential('new')}'; touch {ran}; echo '{credential('old')}'"
    async with serving(handler) as server:
        write_kubeconfig(server, user=write_plugin(script))
        slow = [asyncio.ensure_future(client.request("GET", "/slow")) for _ in range(5)]
        for _ in slow:
            await asyncio.wait_for(begun.acquire(), 5)
        answers = await asyncio.gather(*(client.request("GET", "/other") for _ in range(5)))
        assert answers == [{"said": "Bearer new"}] * 5
        released.set()
        assert await asyncio.gather(*slow) == [{"said": "Bearer old"}] * 5


async def test_a_websocket_has_fresh_credentials_too(write_kubeconfig, write_plugin, client, tmp_path):
    async def handler(request):
        if request.headers.get("Authorization") == "Bearer old":
            return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"}, status=401)
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        await socket.send_str("opened")
        await socket.close()
        return socket

    ran = tmp_path / "ran"
    script = f"[ -e {ran} ] && exec echo '{credential('new')}'; touch {ran}; echo '{credential('old')}'"
    async with serving(handler) as server:
        write_kubeconfig(server, user=write_plugin(script))
        async with client.websocket("/portforward", query=[], protocol="v4.channel.k8s.io") as socket:
            assert await socket.receive_str(timeout=5) == "opened"
        write_kubeconfig(server, user={"token": "old"})
        other = ClusterClient()
        with pytest.raises(ClusterError, match="401"):
            async with other.websocket("/portforward", query=[], protocol="v4.channel.k8s.io"):
                pass
        await other.close()


async def test_a_client_that_is_closed_asks_nobody(write_kubeconfig, client):
    """Neither whoever asks at that moment nor whoever asks later leaves a connection open."""
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["message"]))
    asked, begun = [], asyncio.Event()

    async def handler(request):
        asked.append(request.path)
        if request.path == "/slow":
            begun.set()
            await asyncio.sleep(3600)
        return web.json_response({})

    async with serving(handler) as server:
        write_kubeconfig(server)
        await client.request("GET", "/first")  # so that the next one uses its connection
        slow = asyncio.ensure_future(client.request("GET", "/slow"))
        await asyncio.wait_for(begun.wait(), 5)
        await client.close()
        with pytest.raises(ClusterError):
            await asyncio.wait_for(slow, 5)
        for asking in (client.request("GET", "/later"), client.text("/later"), client.configuration()):
            with pytest.raises(ClientClosedError, match="has closed its connections"):
                await asking
        gc.collect()
        await asyncio.sleep(0)
    assert asked == ["/first", "/slow"]
    assert complaints == []


async def test_a_page_of_somebody_else_does_not_say_that_anything_is_gone(write_kubeconfig, client):
    async def handler(request):
        return web.Response(status=404, text="default backend - 404")

    async with serving(handler) as server:
        write_kubeconfig(server)
        with pytest.raises(ClusterUnreachableError, match="answered 404 in the API server's place") as failure:
            await client.request("GET", "/api/v1/namespaces/team/pods/python")
    assert not failure.value.is_missing
    assert failure.value.is_passing


async def test_credentials_that_stay_wrong_are_an_error(write_kubeconfig, client):
    async def handler(request):
        return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"}, status=401)

    async with serving(handler) as server:
        write_kubeconfig(server)
        with pytest.raises(ClusterError, match="Unauthorized") as failure:
            await client.request("GET", "/version")
    assert failure.value.is_refusal


async def test_an_answer_that_is_not_json(write_kubeconfig, client):
    async def handler(request):
        return web.Response(text="<h1>Please log in</h1>", content_type="text/html")

    async with serving(handler) as server:
        write_kubeconfig(server)
        with pytest.raises(ClusterUnreachableError, match="speaks no JSON"):
            await client.request("GET", "/api/v1/pods")


@pytest.mark.parametrize("name", ["certificate-authority", "certificate-authority-data"])
async def test_certificates_that_are_none(write_kubeconfig, client, tmp_path, name):
    nonsense = tmp_path / "ca.crt"
    nonsense.write_text("nonsense")
    value = str(nonsense) if name == "certificate-authority" else base64.b64encode(b"nonsense").decode()
    write_kubeconfig("https://127.0.0.1:9", **{name: value})
    with pytest.raises(ConfigurationError, match=r"the certificates of kubeconfig .* cannot be used"):
        await client.request("GET", "/version")


async def test_nobody_answers(write_kubeconfig, client):
    write_kubeconfig()
    with pytest.raises(ClusterUnreachableError, match=r"127\.0\.0\.1:9 cannot be reached") as failure:
        await client.request("GET", "/version")
    assert failure.value.code == 0


PLAIN = """\
[req]
distinguished_name = dn
x509_extensions = ca
[dn]
[ca]
basicConstraints = critical, CA:TRUE
subjectKeyIdentifier = none
authorityKeyIdentifier = none
[server]
subjectAltName = IP:127.0.0.1
subjectKeyIdentifier = none
authorityKeyIdentifier = none
"""
"""Certificates of a cluster's own CA that say no more than they must, as those of many clusters do."""


@pytest.fixture
def plain_ca(tmp_path) -> Path:
    """The folder with a plain CA, and a certificate for 127.0.0.1 that it signed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    (tmp_path / "plain.cnf").write_text(PLAIN)

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    new = ("req", "-config", "plain.cnf", "-newkey", "rsa:2048", "-nodes")
    openssl(*new, "-x509", "-days", "2", "-subj", "/CN=kubernetes", "-keyout", "ca.key", "-out", "ca.crt")
    openssl(*new, "-subj", "/CN=apiserver", "-keyout", "api.key", "-out", "api.csr")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "plain.cnf", "-extensions", "server")
    openssl("x509", "-req", "-in", "api.csr", *signed, "-days", "2", "-out", "api.crt")
    return tmp_path


@pytest.fixture
def tls(plain_ca) -> ssl.SSLContext:
    """What a server with that certificate serves with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(plain_ca / "api.crt", plain_ca / "api.key")
    return context


@asynccontextmanager
async def proxying() -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy on loopback: gives its address, and what it was asked for."""
    asked: list[str] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[0])
        host, _, port = asked[-1].split()[1].rpartition(":")
        ends = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with suppress(ConnectionError):
            await asyncio.gather(pump(reader, ends[1]), pump(ends[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()


async def test_a_ca_of_ones_own_and_a_proxy(write_kubeconfig, client, plain_ca, tls, monkeypatch):
    """Also where Python asks of certificates what it did not ask before 3.13."""
    make_context = ssl.create_default_context

    def strict(*arguments, **options) -> ssl.SSLContext:
        context = make_context(*arguments, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)

    async def handler(request):
        if "Upgrade" not in request.headers:
            return web.json_response({"gitVersion": "v1"})
        socket = web.WebSocketResponse(protocols=["v4.channel.k8s.io"])
        await socket.prepare(request)
        await socket.send_str("opened")
        await socket.close()
        return socket

    async with serving(handler, tls) as server, proxying() as (proxy, asked):
        write_kubeconfig(server, **{"certificate-authority": str(plain_ca / "ca.crt"), "proxy-url": proxy})
        assert await client.request("GET", "/version") == {"gitVersion": "v1"}
        async with client.websocket("/portforward", query=[], protocol="v4.channel.k8s.io") as socket:
            assert await socket.receive_str(timeout=5) == "opened"
        assert asked == [f"CONNECT {server.removeprefix('https://')} HTTP/1.1"] * 2
        write_kubeconfig(server)
        stranger = ClusterClient()
        with pytest.raises(
            ClusterUnreachableError, match=r"cannot be reached.*(CERTIFICATE_VERIFY_FAILED|certificate)"
        ):
            await stranger.request("GET", "/version")
        await stranger.close()


@pytest.fixture
def service_account(plain_ca, monkeypatch) -> Path:
    """The folder that a pod has of its service account; it holds no token yet."""
    (plain_ca / "namespace").write_text("team")
    monkeypatch.setattr(configuration, "ACCOUNT", plain_ca)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(plain_ca / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(plain_ca / "ca.crt"))
    return plain_ca


def account_token(number: int) -> str:
    claims = {"sub": "system:serviceaccount:team:host", "jti": str(number)}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


@pytest.mark.parametrize("old", ["is refused", "is still good"])
async def test_a_service_accounts_token_rotates(service_account, tls, client, monkeypatch, old):
    """The next request has the new one: at once where the cluster refuses the old, else a minute later."""
    seen, now = [], datetime.now()
    clock = Mock(now=lambda: now)
    monkeypatch.setattr(incluster_config, "datetime", Mock(datetime=clock, timedelta=timedelta))

    async def handler(request):
        seen.append(request.headers["Authorization"].split()[1])
        if old == "is refused" and len(seen) > 1 and seen[-1] == account_token(1):
            return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"}, status=401)
        return web.json_response({"gitVersion": "v1"})

    (service_account / "token").write_text(account_token(1))
    async with serving(handler, tls) as server:
        host, _, port = server.removeprefix("https://").rpartition(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        await client.request("GET", "/version")
        (service_account / "token").write_text(account_token(2))
        if old == "is still good":
            await client.request("GET", "/version")
            now += timedelta(seconds=61)
        await client.request("GET", "/version")
    assert seen == [account_token(1), account_token(1), account_token(2)]
