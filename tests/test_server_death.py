"""Kernels that die under a stock Jupyter server: who is told what, and when."""

import os
import signal
import time

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_left")]

REFUSED = {"reason": "QuotaExceeded", "message": "the quota has no room for it; end another kernel"}
DEAD = 4000


def pid_of(client) -> int:
    return int(client.run("import os\nprint(os.getpid())"))


@pytest.mark.parametrize("legacy", [False, True])
def test_the_reason_stands_in_the_cell_that_ran(staged, legacy):
    kernel_id = staged.start(staged.add())
    with staged.connect(kernel_id, legacy=legacy) as client:
        client.run("pass")
        # What a kernel prints right before its end may not leave it any more.
        cell = client.execute("import os, time\nprint(time.time())\ntime.sleep(0.3)\nos.kill(os.getpid(), 9)")
        client.execute("print('not this one')")
        _, content = client.until("stream", name="stdout")
        died = float(content["text"])
        parent, content = client.until("stream", 5, name="stderr")
        assert time.time() - died < 1.3
        assert parent == cell
        assert content["text"] == "The kernel died: its process was ended by signal 9 (SIGKILL).\n"
        client.until("status", execution_state="restarting")
    with staged.connect(kernel_id) as client:
        assert client.run("print(6 * 7)") == "42"
    (line,) = staged.server.log_lines(f"Kernel {kernel_id} (")
    assert line.endswith("died: its process was ended by signal 9 (SIGKILL)")


def test_an_idle_kernel_that_dies_is_restarted_under_its_client(staged):
    kernel_id = staged.start(staged.add())
    with staged.connect(kernel_id) as client:
        first = pid_of(client)
        os.kill(first, signal.SIGKILL)
        client.until("status", 1, execution_state="restarting")
        client.until_answered()
        assert "reason" not in staged.until_idle(kernel_id)
        assert pid_of(client) != first


def test_a_kernel_that_cannot_be_restarted_says_why_and_leaves_the_list(staged):
    name = staged.add()
    kernel_id = staged.start(name)
    with staged.connect(kernel_id) as client:
        first = pid_of(client)
        staged.script(name, failure=REFUSED)
        os.kill(first, signal.SIGKILL)
        _, closed = client.until("close")
        assert closed["code"] == DEAD
        assert REFUSED["message"] in staged.until_dead(kernel_id)
    with pytest.raises(Exception, match="500"):
        staged.connect(kernel_id)
    staged.until_unlisted(kernel_id)
    staged.home.assert_nothing_left(3)


def test_a_kernel_that_dies_again_and_again_is_dead_with_its_reason(staged):
    kernel_id = staged.start(staged.add())
    with staged.connect(kernel_id) as client:
        for _ in range(staged.restart_limit):
            os.kill(pid_of(client), signal.SIGKILL)
            client.until("status", 2, execution_state="restarting")
            client.until_answered()
        cell = client.execute("import os\nos.kill(os.getpid(), 9)")
        parent, content = client.until("stream", name="stderr")
        assert parent == cell
        _, closed = client.until("close", 2)
        assert closed["code"] == DEAD
        assert closed["reason"] in content["text"]
    assert staged.until_dead(kernel_id) == "The kernel died: its process was ended by signal 9 (SIGKILL)."
    staged.until_unlisted(kernel_id)
    staged.home.assert_nothing_left(3)


def test_a_restart_that_fails_says_why_and_another_one_revives_the_kernel(staged):
    name = staged.add()
    kernel_id = staged.start(name)
    staged.script(name, failure=REFUSED)
    with staged.connect(kernel_id) as client:
        client.run("x = 1")
        assert staged.refused(f"api/kernels/{kernel_id}/restart")[0] == 500
        _, closed = client.until("close")
        assert closed["code"] == DEAD
    assert REFUSED["message"] in staged.until_dead(kernel_id)
    staged.script(name)
    model = staged.post(f"api/kernels/{kernel_id}/restart")
    assert (model["execution_state"], model.get("reason", "")) == ("idle", "")
    with staged.connect(kernel_id) as client:
        assert client.run("print('x' in globals())") == "False"
        os.kill(pid_of(client), signal.SIGKILL)  # and is watched again
        client.until("status", 1, execution_state="restarting")


def test_a_restart_of_the_users_is_no_death(staged):
    kernel_id = staged.start(staged.add())
    with staged.connect(kernel_id) as client:
        first = pid_of(client)
        client.execute("import time\ntime.sleep(60)")
        assert staged.post(f"api/kernels/{kernel_id}/restart")["execution_state"] == "idle"
        client.until_answered()
        assert pid_of(client) != first
    assert staged.server.log_lines(f"Kernel {kernel_id} (") == []


def test_an_ordinary_kernel_is_restarted_as_ever(staged):
    kernel_id = staged.start("python3")
    with staged.connect(kernel_id) as client:
        client.run("pass")
        cell = client.execute("import os\nos.kill(os.getpid(), 9)")
        while True:
            kind, parent, content = client.receive(10)
            assert (kind, parent, content.get("name")) != ("stream", cell, "stderr")
            if kind == "status" and content["execution_state"] == "restarting":
                break
    with staged.connect(kernel_id) as client:
        client.until_answered(60)  # stock code passes on to the old kernel what comes before the new one is there
        assert client.run("print(6 * 7)") == "42"
