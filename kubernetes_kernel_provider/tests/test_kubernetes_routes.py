"""Which route kernels get, what proves that it is one, and what `doctor` says of it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from cluster.fixtures import LIGHT, Namespace
from cluster_users import KERNELS, Users

from kubernetes_kernel_provider import route_check, routes
from kubernetes_kernel_provider.client.api import ClusterClient
from kubernetes_kernel_provider.client.collections import namespaced
from kubernetes_kernel_provider.permissions import Permissions
from kubernetes_kernel_provider.routes import Routes
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.findings import NOTE, OK, PROBLEM, Finding
from remote_kernel_provider.host import Host
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run, until

pytestmark = pytest.mark.slow

HERE = "127.0.0.1"


class Port:
    """A port of this machine that answers, refuses, or stays silent: its queue of connections is full."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HERE, 0), backlog=0)
        self.number: int = self._listener.getsockname()[1]
        self._waiting: list[socket.socket] = []

    def fall_silent(self) -> None:
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            with suppress(BlockingIOError):
                client.connect((HERE, self.number))
            self._waiting.append(client)

    def answer(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                self._listener.accept()[0].close()

    def close(self) -> None:
        with suppress(OSError):  # nobody accepts
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for client in self._waiting:
            client.close()


@pytest.fixture
def port() -> Iterator[Port]:
    port = Port()
    yield port
    port.close()


@pytest.fixture
def make_routes(in_namespace: Namespace, monkeypatch) -> Iterator[Callable[[str], Routes]]:
    """Makes routes to pods of the test's namespace that nobody has to create: a port-forward only listens at first."""
    monkeypatch.setattr(routes, "PROBE_TIMEOUT", 0.3)
    monkeypatch.setattr(routes, "HURRIED", 5.0)  # a busy machine takes a while to answer
    monkeypatch.setattr(routes, "PROOF", 3.5)  # a lost packet is sent again after one second, and after two more
    client = ClusterClient()
    made = []

    def make(wanted: str = "auto") -> Routes:
        made.append(Routes(client, Permissions(client), wanted))
        return made[-1]

    yield make
    for each in made:
        run(each.close())
    run(client.close())


@pytest.fixture
def reach(in_namespace: Namespace) -> Callable[..., str]:
    """Ask for the route to a pod; returns its transport."""

    def reach(asked: Routes, uid: str, port: int, address: str = HERE) -> str:
        pod = namespaced("pods", in_namespace.name, f"pod-{uid}")
        return run(asked.route(uid, in_namespace.name, pod, address, [port])).transport

    return reach


def test_a_pod_that_is_slow_to_answer_decides_for_itself_alone(make_routes, reach, port: Port) -> None:
    asked = make_routes()
    port.fall_silent()
    assert reach(asked, "slow", port.number) == "ipc"
    port.answer()
    assert reach(asked, "next", port.number) == "tcp"
    asked.answered("slow")  # by its port-forward
    until(lambda: not asked._is_proving, 20, "the end of the proof")
    assert "(kubernetes_route is 'auto')" in asked.describe()


def test_a_kernel_whose_address_stays_silent_proves_that_all_do(make_routes, reach, port: Port) -> None:
    asked = make_routes()
    port.fall_silent()
    assert reach(asked, "one", port.number) == "ipc"
    until(lambda: "stayed silent" in asked.describe(), 20, "the proof")
    port.answer()
    assert reach(asked, "two", port.number) == "ipc"


def test_a_pod_that_is_gone_proves_nothing(make_routes, reach, port: Port) -> None:
    asked = make_routes()
    port.fall_silent()
    assert reach(asked, "gone", port.number) == "ipc"
    run(asked.give_up("gone"))
    until(lambda: not asked._is_proving, 20, "the end of the proof")
    assert "(kubernetes_route is 'auto')" in asked.describe()


def test_a_kernel_that_answered_at_its_address_proves_that_all_do(make_routes, reach, port: Port) -> None:
    asked = make_routes()
    with socket.create_server((HERE, 0)) as closing:
        refused = closing.getsockname()[1]
    assert reach(asked, "one", refused) == "tcp"  # its kernel is about to listen
    assert "(kubernetes_route is 'auto')" in asked.describe()
    asked.answered("one")
    assert "a kernel answered there" in asked.describe()
    port.fall_silent()
    assert reach(asked, "busy", port.number) == "tcp"


def test_an_address_of_ipv6_is_forwarded_and_proves_nothing(make_routes, reach, port: Port) -> None:
    asked = make_routes()
    assert reach(asked, "six", port.number, "::1") == "ipc"
    asked.answered("six")
    assert reach(asked, "four", port.number) == "tcp"
    assert reach(make_routes("direct"), "six", port.number, "::1") == "ipc"


@pytest.fixture
def diagnose(in_namespace: Namespace, monkeypatch) -> Callable[..., tuple[Finding, list[Finding]]]:
    """Ask a new host what `doctor` would; returns what it says of the route, and what has to be fixed."""

    def diagnose(**environment: str) -> tuple[Finding, list[Finding]]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        host = Host(load_settings())
        findings = run(host.lifecycle("kubernetes").check())
        run(host.close())
        (route,) = [finding for finding in findings if finding.subject == "route"]
        return route, [finding for finding in findings if finding.state == PROBLEM]

    return diagnose


def test_the_doctor_tries_pods_that_run_already(
    kernels: Kernels, diagnose, in_namespace: Namespace, users: Users, monkeypatch
) -> None:
    run(kernels.lifecycle.describe())  # as the one who may do everything
    route, problems = diagnose(RKP_KUBERNETES_ROUTE="port-forward")
    assert (route.state, problems) == (OK, [])
    assert route.seen.endswith("which is permitted: kubernetes_route is 'port-forward'")

    modest = users.kubeconfig("modest", KERNELS[:2])
    route, problems = diagnose(KUBECONFIG=str(modest), RKP_KUBERNETES_ROUTE="auto")
    assert (route.state, problems) == (NOTE, [])
    assert "which is not permitted; this host sees no pod to try" in route.seen
    route, problems = diagnose(RKP_KUBERNETES_ROUTE="port-forward")
    assert route.state == NOTE
    (problem,) = problems
    assert "resources: [pods/portforward], verbs: [get, create]" in problem.remedy

    command = LIGHT
    pod = kernels.start(kernels.add_spec("patient", command, config={"launch_timeout": 120})).resource.data["pod"]
    route, problems = diagnose(RKP_KUBERNETES_ROUTE="auto")
    assert (route.state, problems) == (OK, [])
    assert f"pod {in_namespace.name}/{pod} at " in route.seen
    monkeypatch.setattr(route_check, "PROBE_TIMEOUT", 0.0)
    route, problems = diagnose()
    assert route.state == NOTE
    assert f"none answered within 0 s (pod {in_namespace.name}/{pod} at " in route.seen
    assert [problem.subject for problem in problems] == ["permissions"]
    route, problems = diagnose(RKP_KUBERNETES_ROUTE="direct")
    assert route.remedy == "leave kubernetes_route out, or run this host where it reaches pods"
    assert problems == [route]
