"""A lease is renewed whatever has gone wrong before."""

import asyncio

from aiohttp import web
from api_servers import credential, serving

from kubernetes_kernel_provider import leases
from kubernetes_kernel_provider.leases import HostLease
from remote_kernel_provider.owner import Owner


async def test_a_lease_is_renewed_when_its_plugin_gives_credentials_again(
    write_kubeconfig, write_plugin, client, tmp_path, monkeypatch
):
    """A login that has run out must not make a living host look dead."""
    monkeypatch.setattr(leases, "RENEWAL", 0.02)
    monkeypatch.setattr(leases, "RETRY", 0.02)
    out, refused, renewed = tmp_path / "logged-out", asyncio.Event(), asyncio.Event()

    async def handler(request):
        if out.exists():
            refused.set()
            return web.json_response({"kind": "Status", "code": 401, "message": "Unauthorized"}, status=401)
        if request.method == "PATCH":
            renewed.set()
        return web.json_response({})

    async def namespace() -> str:
        return "team"

    plugin = write_plugin(f"[ -e {out} ] && echo 'log in first' >&2 && exit 4; exec echo '{credential('token')}'")
    async with serving(handler) as server:
        write_kubeconfig(server, user=plugin)
        lease = HostLease(client, "here", namespace)
        await lease.hold(Owner("ann", "host", "server-1"), "generation")
        await asyncio.wait_for(renewed.wait(), 5)
        out.touch()
        await asyncio.wait_for(refused.wait(), 5)
        await asyncio.sleep(0.1)  # the plugin has failed by then, for several attempts
        renewed.clear()
        out.unlink()
        await asyncio.wait_for(renewed.wait(), 5)
        await lease.close()
