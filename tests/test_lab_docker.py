"""JupyterLab in a browser, with kernels in containers of a real Docker engine."""

import re

import pytest
from browsing import PATIENCE, SECONDS
from engine.images import DEBIAN
from playwright.sync_api import expect

from remote_kernel_provider.testing.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

COMMAND = "python3 -m ipykernel_launcher -f {connection_file}"
SLOW = f"""sh -c 'sleep 4; exec "$@"' sh {COMMAND}"""


@pytest.fixture(scope="module")
def server(make_home, serve, shared_engine, image):
    """A JupyterLab server whose user has installed two kernels in containers."""
    image(DEBIAN)
    home = make_home("docker")
    for name, command in (("debian", COMMAND), ("slow", SLOW)):
        home.run(
            *("jupyter", "docker-kernelspec", "install", "--user", "--kernel-name", name),
            *("--display-name", f"{name} in Docker", "--image-name", DEBIAN, "--kernel-command", command),
            *("--ask", "memory_limit,cpus") if name == "slow" else (),
        )
    return serve(home, "jupyter-lab", DOCKER_HOST=shared_engine.host)


@pytest.fixture
def lab(open_lab, server, shared_engine):
    """JupyterLab with its launcher open; a test leaves no container."""
    yield open_lab(server)
    for kernel in server.get("api/kernels"):
        server.request("DELETE", f"api/kernels/{kernel['id']}")
    until(lambda: not containers(server, shared_engine), 20, "no container is left")


def containers(server, engine) -> list[dict]:
    """Return the containers of the server's kernels."""
    return engine.containers(f"remote-kernel-provider.instance=server-{server.port}")


def kill(server, engine) -> None:
    """End the one kernel's container from outside."""
    (container,) = containers(server, engine)
    engine.client.kill(container["Id"])


def test_a_slow_start_is_shown_and_what_the_form_says_holds(lab, server, shared_engine):
    lab.card("slow in Docker").click()
    form = lab.dialog("Launch slow in Docker")
    form.get_by_label(re.compile("memory limit", re.IGNORECASE)).fill("300Mi")
    lab.answer(form, "Launch")
    expect(lab.notification(r"slow in Docker: .* · [1-9] s")).to_be_visible(timeout=PATIENCE)
    (container,) = containers(server, shared_engine)
    assert shared_engine.client.inspect_container(container["Id"])["HostConfig"]["Memory"] == 300 * 2**20
    expect(lab.notification("slow in Docker is ready")).to_be_visible(timeout=PATIENCE)


def test_a_day_of_a_kernel_in_a_container(lab, server, shared_engine):
    notebook = lab.new_notebook("debian in Docker", ready=False)
    notebook.expect_status("Idle", seconds=60)
    assert notebook.value_of("import os; print(os.getuid(), os.getpid() > 1)") == "1000 True"

    busy = notebook.run("import time\nprint('busy')\nfor _ in range(6000):\n    time.sleep(0.1)")
    expect(busy).to_contain_text("busy", timeout=PATIENCE)
    lab.menu("Kernel", "Interrupt Kernel")
    expect(busy.last).to_contain_text("KeyboardInterrupt", timeout=PATIENCE)

    (before,) = containers(server, shared_engine)
    lab.restart()
    expect(notebook.run("os").last).to_contain_text("NameError", timeout=PATIENCE)
    (after,) = containers(server, shared_engine)
    assert after["Id"] != before["Id"]

    assert notebook.value_of("kept = 6 * 7; print('kept')") == "kept"
    lab.crash_server()
    notebook.expect_status("Idle")
    assert notebook.value_of("print(kept)") == "42"
    (adopted,) = containers(server, shared_engine)
    assert adopted["Id"] == after["Id"]

    lab.menu("Kernel", "Shut Down Kernel")
    expect(notebook.kernel_name).to_have_text("No Kernel")
    until(lambda: not containers(server, shared_engine), 20, "no container is left")


def test_the_reason_of_a_death_is_in_the_cell_that_ran(lab, server, shared_engine):
    notebook = lab.new_notebook("debian in Docker", ready=False)
    notebook.expect_status("Idle", seconds=60)
    output = notebook.run("import time\nprint('busy')\ntime.sleep(600)")
    expect(output).to_contain_text("busy", timeout=PATIENCE)
    kill(server, shared_engine)
    expect(output.last).to_contain_text("its process was ended by signal 9 (SIGKILL)", timeout=10 * SECONDS)
    lab.acknowledge_death()
    notebook.expect_status("Starting", "Idle", seconds=60)
    assert notebook.value_of("6 * 7") == "42"


def test_the_reason_of_an_idle_kernels_death_is_told(lab, server, shared_engine):
    notebook = lab.new_notebook("debian in Docker", ready=False)
    notebook.expect_status("Idle", seconds=60)
    kill(server, shared_engine)
    death = lab.notification(r"died: its process was ended by signal 9 \(SIGKILL\)")
    expect(death).to_be_visible(timeout=10 * SECONDS)
    lab.acknowledge_death()
    notebook.expect_status("Starting", "Idle", seconds=60)


def test_an_image_that_is_not_there_is_one_sentence(lab, server):
    server.home.run(
        *("jupyter", "docker-kernelspec", "install", "--user", "--kernel-name", "missing"),
        *("--display-name", "missing in Docker", "--image-name", "rkp-test/no-such-image:1"),
        *("--kernel-command", COMMAND, "--param", "pull_policy=Never"),
    )
    lab.start_over()
    lab.card("missing in Docker").click()
    dialog = lab.dialog("Error Starting Kernel")
    expect(dialog.locator("pre")).to_contain_text("the image 'rkp-test/no-such-image:1' is not on the engine")
    lab.answer(dialog, "Ok")
    assert server.get("api/kernels") == []
