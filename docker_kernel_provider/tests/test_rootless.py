"""A kernel on an engine that runs without root, whose containers no address of this host leads to."""

import pytest
from docker import APIClient
from engine.images import KERNEL
from engine.rootless import obstacle, rootless_engine

from remote_kernel_provider.testing.client import Notebook, Outcome
from remote_kernel_provider.testing.waiting import run

pytestmark = pytest.mark.slow


@pytest.fixture
def rootless(shared_engine, image):
    if why := obstacle():
        pytest.skip(f"no engine without root: {why}")
    image(KERNEL)
    with rootless_engine(shared_engine.client) as rootless:
        yield rootless


def test_its_ports_are_published(rootless, make_kernels, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", rootless.host)
    kernels = make_kernels()
    manager = kernels.start("tiny")
    assert manager.connection.ip == "127.0.0.1"
    with Notebook(manager.connection) as notebook:
        assert notebook.run("import os; print(os.getuid())") == Outcome("1000\n")
        busy = notebook.begin("print('busy', flush=True)\nimport time; time.sleep(60)")
        busy.until_printed("busy")
        run(manager.interrupt())
        assert busy.finish(10).error == "KeyboardInterrupt"
    client = APIClient(base_url=rootless.host, version="auto")
    engine_info = client.info()
    client.close()
    said = run(kernels.lifecycle.describe())
    assert "published on 127.0.0.1, because the engine runs without root, in a network of its own" in said
    (finding,) = run(kernels.lifecycle.check()) or [None]
    # Where the machine gives control groups to nobody but root, the engine says that it limits nothing.
    assert (finding is None) == bool(engine_info["MemoryLimit"])
    run(manager.kill())
    assert kernels.find() == []
