"""The fixtures of tests that need a real Docker engine."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from engine.daemon import Daemon, SharedDaemon, obstacle
from engine.images import LABEL, is_there, make
from engine.spare import Spare
from engine.swarm import have_swarm

OURS = "app=remote-kernel-provider"
"""Label of the containers of kernels."""
NO_ENGINE = "unix:///nonexistent/of-the-tests/docker.sock"
"""Where tests look for an engine that were given none."""


@dataclass(frozen=True)
class Engine:
    """A real engine, for tests.

    Parameters
    ----------
    host
        What `DOCKER_HOST` says of it.
    client
        A `docker.APIClient` for the test itself.
    daemon
        Its process; None where `TEST_DOCKER_HOST` named it.
    """

    host: str
    client: Any
    daemon: Daemon | None

    def containers(self, label: str) -> list[dict[str, Any]]:
        """List the containers with a label, running or not."""
        found: list[dict[str, Any]] = self.client.containers(all=True, filters={"label": label})
        return found


def look(client: Any, label: str = OURS) -> str:
    """Return what is known of an engine's newest kernels: their containers' states and the ends of their output."""
    seen = []
    try:
        for container in client.containers(all=True, filters={"label": label})[:8]:
            state = client.inspect_container(container["Id"])["State"]
            log = client.logs(container["Id"], tail=30).decode(errors="replace")
            seen.append(f"{container['Names'][0]} ({container['Image']}): {state}\n{log}")
    except Exception as error:  # noqa: BLE001  # whatever it is, the test's own failure matters more
        seen.append(str(error))
    return "\n".join(seen)


def pytest_configure() -> None:
    """Hide every engine from tests that did not ask for one."""
    for name in ("DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        os.environ.pop(name, None)
    os.environ["DOCKER_HOST"] = NO_ENGINE


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show the engine's newest kernels with a test that failed, before they are removed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]  # pluggy's
    if not report.failed:
        return
    for name, engine in getattr(item, "funcargs", {}).items():
        if isinstance(engine, (Engine, Spare)) and name in ("engine", "spare"):
            report.sections.append((f"Docker containers of '{name}'", look(engine.client)))


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[Engine]:
    """Give the one engine of all test processes of this checkout."""
    pytest.importorskip("docker", reason="the docker SDK is not installed")
    given = os.environ.get("TEST_DOCKER_HOST")
    if given:
        client = _connect(given)
        try:
            yield Engine(given, client, None)
        finally:
            _remove_labelled(client)
            client.close()
        return
    if why := obstacle():
        if os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail(f"REQUIRE_DOCKER=1, and there is no Docker engine to test on: {why}")
        pytest.skip(f"no Docker engine to test on: {why}")
    daemon = SharedDaemon()
    with daemon.in_use():
        client = _connect(daemon.host)
        yield Engine(daemon.host, client, daemon)
        client.close()


@pytest.fixture
def engine(shared_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Give the test the shared engine, and name it in its environment."""
    monkeypatch.setenv("DOCKER_HOST", shared_engine.host)
    return shared_engine


@pytest.fixture
def swarm(engine: Engine) -> Engine:
    """Give the test the shared engine as a Swarm's manager; never one that somebody else started."""
    if engine.daemon is None:
        pytest.skip("TEST_DOCKER_HOST names the engine, and the tests make no Swarm of what they did not start")
    with SharedDaemon().alone():
        have_swarm(engine.client)
    return engine


@pytest.fixture(scope="session")
def image(shared_engine: Engine) -> Callable[[str], str]:
    """Have an image of `engine.images` on the shared engine; return its name."""

    def have(name: str) -> str:
        if is_there(shared_engine.client, name):
            return name
        # Made once, although several processes want it.
        with SharedDaemon().alone():
            return make(shared_engine.client, name)

    return have


def _connect(host: str) -> Any:
    import docker

    client = docker.APIClient(base_url=host, version="auto", timeout=120)
    # The SDK would keep a connection for each URL, which tests that count descriptors see.
    client.headers["Connection"] = "close"
    return client


def _remove_labelled(client: Any) -> None:
    for container in client.containers(all=True, filters={"label": LABEL}):
        client.remove_container(container["Id"], force=True, v=True)
    for image in client.images(filters={"label": LABEL}):
        client.remove_image(image["Id"], force=True)
