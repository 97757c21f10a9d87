"""What nobody can do without: a pod and its connection file by the official client alone, no framework."""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kubernetes.aio.client import ApiClient, Configuration, CoreV1Api
from kubernetes.aio.config import load_kube_config

from benchmarks.kernels import COMMAND
from remote_kernel_provider.connection.channels import KernelChannels
from remote_kernel_provider.connection.info import ConnectionInfo

FOLDER = "/connection"
PORTS = {
    "shell_port": 40001,
    "iopub_port": 40002,
    "stdin_port": 40003,
    "control_port": 40004,
    "hb_port": 40005,
}


class Floor:
    """Pods of one image.

    Parameters
    ----------
    api
        The official client's.
    namespace
        Of the pods.
    image
        Of the pods.
    """

    def __init__(self, api: CoreV1Api, namespace: str, image: str) -> None:
        self._api = api
        self._namespace = namespace
        self._image = image

    @classmethod
    @asynccontextmanager
    async def on(cls, kubeconfig: Path, namespace: str, image: str) -> AsyncIterator[Floor]:
        """Have one, connected to a cluster."""
        configuration = Configuration()
        await load_kube_config(str(kubeconfig), client_configuration=configuration)
        async with ApiClient(configuration) as client:
            yield cls(CoreV1Api(client), namespace, image)

    async def start(self) -> tuple[str, ConnectionInfo]:
        """Start a kernel, wait for its first reply; return its pod's name and its connection."""
        name = f"floor-{uuid.uuid4().hex[:12]}"
        fields: dict[str, Any] = {"transport": "tcp", "signature_scheme": "hmac-sha256", "key": secrets.token_hex(32)}
        connection = {**fields, **PORTS, "ip": "0.0.0.0"}
        secret: Any = {"metadata": {"name": name}, "stringData": {"file.json": json.dumps(connection)}}
        _, _, address = await asyncio.gather(
            self._api.create_namespaced_pod(self._namespace, self._pod(name)),
            self._api.create_namespaced_secret(self._namespace, secret),
            self._running(name),
        )
        reached = ConnectionInfo.from_json({**connection, "ip": address})
        channels = KernelChannels(reached)
        await channels.until_open()
        await channels.kernel_info()
        return name, reached

    def _pod(self, name: str) -> Any:  # the client takes dicts as well as its own classes
        container = {
            "name": "kernel",
            "image": self._image,
            "command": [word.replace("{connection_file}", f"{FOLDER}/file.json") for word in COMMAND],
            "volumeMounts": [{"name": "connection", "mountPath": FOLDER}],
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,  # a volume that costs time, and that a kernel does not need
            "containers": [container],
            "volumes": [{"name": "connection", "secret": {"secretName": name}}],
        }
        return {"metadata": {"name": name}, "spec": spec}

    async def _running(self, name: str) -> str:
        """Wait until the pod runs; return its address."""
        async for kind, pod in self._changes(name):
            if kind != "DELETED" and pod["status"].get("phase") == "Running":
                return str(pod["status"]["podIP"])
        raise AssertionError(f"{name} does not run, and the watch of it has ended")

    async def _changes(self, name: str) -> AsyncIterator[tuple[str, Any]]:
        selector = f"metadata.name={name}"
        answer = await self._api.list_namespaced_pod_without_preload_content(
            self._namespace, field_selector=selector, watch=True
        )
        try:
            async for line in answer.content:
                change = json.loads(line)
                yield change["type"], change["object"]
        finally:
            answer.close()

    async def stop(self, started: tuple[str, ConnectionInfo]) -> None:
        """Remove it, and wait until it is gone."""
        name, _ = started
        changes = self._changes(name)
        await anext(changes)  # the watch stands
        await self._api.delete_namespaced_secret(name, self._namespace)
        await self._api.delete_namespaced_pod(name, self._namespace, grace_period_seconds=1)
        async for kind, _ in changes:
            if kind == "DELETED":
                return
