"""How often launches ask the cluster."""

import pytest
from cluster.fixtures import LIGHT, Namespace

from kubernetes_kernel_provider.client.connections import Connections
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import until


@pytest.fixture
def asked(in_namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What this process asks of API servers, events aside: those are asked for where a start is slow."""
    asked: list[str] = []
    ask = Connections.ask

    async def recorded(self, method, path, query, *others):
        if not path.endswith("/events"):
            verb = "WATCH" if "watch" in (query or {}) else method
            asked.append(f"{verb} {path.replace(in_namespace.name, 'OWN')}")
        return await ask(self, method, path, query, *others)

    monkeypatch.setattr(Connections, "ask", recorded)
    return asked


SWEEP = {f"GET {path}" for path in ("/api/v1/pods", "/apis/coordination.k8s.io/v1/leases", "/api/v1/namespaces")}
OBJECTS = [f"POST /api/v1/namespaces/OWN/{plural}" for plural in ("pods", "secrets")]
LEASE = "POST /apis/coordination.k8s.io/v1/namespaces/OWN/leases"


@pytest.mark.slow
def test_what_launches_ask(kernels: Kernels, asked: list[str]) -> None:
    spec = kernels.add_spec("patient", LIGHT, config={"launch_timeout": 120})
    kernels.start(spec)
    until(lambda: set(asked) >= SWEEP, 30, "the sweep of the first launch")
    assert sorted(each for each in asked if each.startswith("POST")) == [*OBJECTS, LEASE]
    collections = {each for each in asked if each.startswith("GET") and "OWN/pods/" not in each}
    assert collections == SWEEP | {"GET /api/v1/namespaces/OWN/pods"}  # as long as no host has died
    assert len(asked) <= 9
    asked.clear()
    kernels.start(spec)
    assert [each for each in asked if each.startswith("POST")] == OBJECTS
    assert not SWEEP & set(asked)
