"""Launches in a stock Jupyter server that take their time, are cancelled or fail."""

import json
import threading
import time
import urllib.error

import psutil
import pytest
from jupyter_homes import eventually

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]

FOR_EVER = {"phase": "pulling", "message": "1 of 5 layers"}
REFUSED = {"reason": "ImagePullBackOff", "message": "there is no image 'nowhere/x'; mend its name"}


def pulling(seconds: float) -> dict[str, object]:
    return {"phase": "pulling", "message": "2 of 5 layers", "seconds": seconds}


def seconds_since(began: float) -> float:
    return time.monotonic() - began


def test_a_quick_launch_is_ready_when_the_post_returns(staged):
    staged.delete(staged.start(staged.add()))  # the first one imports a lot
    began = time.monotonic()
    model = staged.post("api/kernels", name=staged.add())
    assert seconds_since(began) < 2
    assert model["execution_state"] == "idle"
    with staged.connect(model["id"]) as client:
        assert client.run("print(6 * 7)") == "42"


def test_a_slow_launch_is_pending_after_two_seconds_and_runs_what_is_asked_meanwhile(staged):
    name = staged.add(pulling(5))
    began = time.monotonic()
    model = staged.post("api/kernels", name=name)
    assert 1.9 < seconds_since(began) < 4
    assert model["execution_state"] == "starting"
    with staged.connect(model["id"]) as client:  # answered when the kernel is there
        assert seconds_since(began) > 5
        assert client.run("print(6 * 7)") == "42"
    assert staged.kernel(model["id"])["execution_state"] == "idle"


@pytest.mark.parametrize("way", ["kernels", "sessions"])
def test_a_shutdown_cancels_the_launch_and_leaves_nothing(staged, way):
    name = staged.add(FOR_EVER)
    if way == "kernels":
        model = staged.post("api/kernels", name=name)
    else:
        model = staged.post("api/sessions", path="a.ipynb", name="a", type="notebook", kernel={"name": name})
    assert staged.home.kernel_processes()
    began = time.monotonic()
    staged.server.request("DELETE", f"api/{way}/{model['id']}")
    assert seconds_since(began) < 2
    assert staged.listed() == []
    assert staged.server.get("api/sessions") == []
    staged.home.assert_nothing_left(1)


def test_a_client_that_waits_for_a_cancelled_launch_is_refused(staged):
    kernel_id = staged.start(staged.add(FOR_EVER))
    threading.Timer(0.5, staged.delete, [kernel_id]).start()
    with pytest.raises(Exception, match="500"):
        staged.connect(kernel_id)


def test_a_client_that_leaves_while_its_kernel_ends_leaves_no_sockets(staged):
    name = staged.add()

    def leave(kernels: int) -> None:
        for _ in range(kernels):
            kernel_id = staged.start(name)
            with staged.connect(kernel_id):
                ending = threading.Thread(target=staged.delete, args=[kernel_id])
                ending.start()
            ending.join()

    sockets = psutil.Process(staged.server.process.pid).num_fds
    leave(2)
    time.sleep(0.5)
    few = sockets()
    leave(3)
    eventually(lambda: sockets() <= few + 3, 10, lambda: f"{sockets()}, and before {few}")  # a leak is a dozen for each


def test_a_launch_that_fails_at_once_is_an_error_with_its_sentence_and_nothing_is_listed(staged):
    name = staged.add(failure=REFUSED)
    session = {"path": "b.ipynb", "name": "b", "type": "notebook", "kernel": {"name": name}}
    for path, body in (("api/kernels", {"name": name}), ("api/sessions", session)):
        status, message = staged.refused(path, **body)
        assert status == 500
        assert REFUSED["message"] in " ".join(message.split())
        assert all(len(line) <= 100 for line in message.splitlines())
    assert staged.listed() == []
    assert staged.server.get("api/sessions") == []
    staged.home.assert_nothing_left(1)


def test_a_launch_that_fails_later_stays_as_a_dead_kernel_for_a_while(staged):
    kernel_id = staged.start(staged.add(pulling(2.5), failure=REFUSED))
    assert REFUSED["message"] in staged.until_dead(kernel_id)
    with pytest.raises(Exception, match="500"):
        staged.connect(kernel_id)
    staged.until_unlisted(kernel_id)


def test_a_kernel_whose_launch_failed_is_revived_by_a_restart(staged):
    name = staged.add(pulling(2.5), failure=REFUSED)
    kernel_id = staged.start(name)
    staged.until_dead(kernel_id)
    staged.script(name)
    assert staged.post(f"api/kernels/{kernel_id}/restart")["execution_state"] == "idle"
    with staged.connect(kernel_id) as client:
        assert client.run("print(6 * 7)") == "42"
        time.sleep(staged.dead_seconds + 0.5)
        assert client.run("print(6 * 7)") == "42"


@pytest.mark.parametrize("legacy", [False, True])
def test_a_client_that_connects_is_told_whether_the_kernel_is_busy(staged, legacy):
    def told() -> str:
        with staged.connect(kernel_id, legacy=legacy) as other:
            while True:
                kind, parent, content = other.receive(10)
                if (kind, parent) == ("status", ""):
                    return content["execution_state"]

    kernel_id = staged.start(staged.add())
    assert told() == "idle"
    with staged.connect(kernel_id) as client:
        client.execute("import time\nprint('busy')\ntime.sleep(60)")
        client.until("stream")
        assert told() == "busy"


def test_an_interrupt_is_refused_until_the_kernel_is_there(staged):
    kernel_id = staged.start(staged.add(FOR_EVER))
    assert staged.refused(f"api/kernels/{kernel_id}/interrupt")[0] == 500
    assert staged.kernel(kernel_id)["execution_state"] == "starting"


def test_a_server_that_stops_cancels_its_launches(make_staged):
    staged = make_staged()
    staged.start(staged.add(FOR_EVER))
    assert staged.home.kernel_processes()
    staged.server.stop()
    staged.home.assert_nothing_left(3)


def test_a_restart_waits_for_the_launch_under_way(staged):
    name = staged.add(pulling(4))
    kernel_id = staged.start(name)
    generations = {path.name for path in staged.home.staged_folders.iterdir()}
    model = staged.post(f"api/kernels/{kernel_id}/restart")
    assert model["execution_state"] == "idle"
    assert {path.name for path in staged.home.staged_folders.iterdir()} == generations
    with staged.connect(kernel_id) as client:
        assert client.run("print(6 * 7)") == "42"


def test_a_restart_that_is_under_way_is_cancelled_by_a_shutdown(staged):
    name = staged.add()
    kernel_id = staged.start(name)
    staged.script(name, FOR_EVER)
    answers = []

    def restart():
        with pytest.raises(urllib.error.HTTPError) as refusal:
            staged.post(f"api/kernels/{kernel_id}/restart")
        answers.append(refusal.value.code)

    restarting = threading.Thread(target=restart)
    restarting.start()
    time.sleep(1)
    staged.delete(kernel_id)
    restarting.join(10)
    assert answers == [500]
    assert staged.listed() == []
    staged.home.assert_nothing_left(1)


def test_an_unknown_kernel_is_refused_as_by_a_stock_server(staged):
    status, _ = staged.refused("api/kernels", name="no-such-kernel")
    assert status == 500
    session = {"path": "c.ipynb", "name": "c", "type": "notebook", "kernel": {"name": "no-such-kernel"}}
    status, message = staged.refused("api/sessions", **session)
    assert (status, "not available" in message) == (501, True)


async def test_ordinary_kernels_have_the_classes_that_the_server_is_configured_with(tmp_path, monkeypatch):
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager, ServerKernelManager

    from remote_kernel_provider.jupyter.server.extension import compose
    from remote_kernel_provider.jupyter.server.kernel_manager import RemoteServerKernelManager
    from remote_kernel_provider.jupyter.server.mapping import RemoteMapping

    class Configured(ServerKernelManager):
        pass

    stock = {"argv": ["x"], "display_name": "x", "language": "python", "metadata": {}}
    stanza = {"provisioner_name": "remote-kernel-provisioner", "config": {"kernel": "local/ours"}}
    for name, metadata in (("theirs", {}), ("ours", {"kernel_provisioner": stanza})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kernel.json").write_text(json.dumps({**stock, "metadata": metadata}))
    specs = KernelSpecManager(kernel_dirs=[str(tmp_path)])
    kernels = compose(RemoteMapping, AsyncMappingKernelManager)(kernel_spec_manager=specs, root_dir=str(tmp_path))
    kernels.kernel_manager_factory  # noqa: B018  # made by default
    monkeypatch.setattr("remote_kernel_provider.jupyter.server.mapping.import_item", lambda _: Configured)
    kernels.kernel_manager_factory = kernels._create_kernel_manager_factory()
    ours, *_ = kernels.pre_start_kernel("ours", {})
    theirs, *_ = kernels.pre_start_kernel("theirs", {})
    assert type(theirs) is ServerKernelManager
    assert isinstance(ours, RemoteServerKernelManager)
    assert isinstance(ours, Configured)
    assert not kernels.use_pending_kernels
