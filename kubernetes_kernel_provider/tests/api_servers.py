"""API servers that do what a cluster does not do on demand."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def serving(handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def credential(token: str | None) -> str:
    document = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {} if token is None else {"token": token},
    }
    return json.dumps(document)


def pod(name: str, version: int, **more) -> dict:
    return {"metadata": {"uid": name, "resourceVersion": str(version)}, **more}


def event(kind: str, item: dict) -> bytes:
    return json.dumps({"type": kind, "object": item}).encode() + b"\n"


class Scripted:
    """Answers lists with what it holds, and each watch by the next function of its script."""

    def __init__(self, *script):
        self.items, self.version = [pod("a", 5)], 10
        self.script = list(script)
        self.lists, self.watches = 0, []
        self.held = asyncio.Event()

    async def handle(self, request):
        if "watch" not in request.query:
            self.lists += 1
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": self.items})
        self.watches.append((request.query["resourceVersion"], time.monotonic()))
        response = web.StreamResponse()
        await response.prepare(request)
        if not self.script:
            self.held.set()
        await (self.script.pop(0) if self.script else hold)(response)
        return response


async def hold(response):
    await asyncio.sleep(3600)


async def end(response):
    pass


def send(*lines, then=end):
    async def step(response):
        for line in lines:
            await response.write(line)
        await then(response)

    return step
