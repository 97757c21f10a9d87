"""JupyterLab in a browser, with kernels in pods of a real cluster."""

import re

import pytest
from browsing import PATIENCE, SECONDS
from engine.registry import Registry, obstacle
from playwright.sync_api import expect
from pods import COMMAND
from test_lab_extension import panel

from remote_kernel_provider.testing.other_host import OtherHost

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SLOW = f"""sh -c 'sleep 2; exec "$@"' sh {COMMAND}"""
TALKING = f"""sh -c 'echo its own words; exec "$@"' sh {COMMAND}"""
PLOT = """from IPython.display import SVG
points = " ".join(f"{x},{200 - (x - 150) ** 2 / 120}" for x in range(0, 300, 5))
SVG(f'<svg xmlns="http://www.w3.org/2000/svg" width="300" height="200"><polyline points="{points}"/></svg>')"""


@pytest.fixture(scope="module")
def registry(cluster, tmp_path_factory):
    """A registry without any image, on the machine of the cluster's node."""
    if cluster.own is None or obstacle():
        pytest.skip(obstacle() or "the nodes of TEST_KUBECONFIG do not reach a registry of this machine")
    with Registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def server(pods, serve):
    """A JupyterLab server whose user has installed kernels in pods."""
    pods.install("pod", "--curve")
    pods.install("asked", "--ask", "memory_limit", command=SLOW)
    pods.install("huge", "--param", "memory=10Ti")
    pods.install("talking", "--param", "memory_limit=300Mi", command=TALKING)
    return serve(pods.home, "jupyter-lab")


@pytest.fixture
def lab(open_lab, server, pods):
    """JupyterLab with its launcher open; a test leaves nothing in any namespace."""
    yield open_lab(server)
    print(pods.namespace.describe())
    for kernel in server.get("api/kernels"):
        server.request("DELETE", f"api/kernels/{kernel['id']}")
    pods.assert_nothing_left()


def test_memory_from_the_form_is_the_pods_and_exceeding_it_is_told_in_the_cell(lab, pods):
    lab.card("asked").click()
    form = lab.dialog("Launch asked")
    form.get_by_label(re.compile("memory limit", re.IGNORECASE)).fill("200Mi")
    lab.answer(form, "Launch")
    expect(lab.notification(r"asked: .* · [1-9] s")).to_be_visible(timeout=PATIENCE)
    expect(lab.notification("asked is ready after")).to_be_visible(timeout=PATIENCE)
    notebook = lab.notebook()
    notebook.expect_status("Idle")
    limits = [pods.pod().spec.containers[0].resources.limits]
    output = notebook.run("print('busy')\nhuge = bytearray(10**9)")
    expect(output.last).to_contain_text("The kernel died: it ran out of memory of 200Mi", timeout=PATIENCE)
    lab.acknowledge_death()
    expect(lab.notification("asked is ready after")).to_be_visible(timeout=PATIENCE)
    assert notebook.value_of("6 * 7") == "42"
    limits.append(pods.pod().spec.containers[0].resources.limits)
    assert limits == [{"memory": "200Mi"}] * 2


def test_a_day_of_a_kernel_in_a_pod(lab, pods):
    notebook = lab.new_notebook("pod")
    first = pods.pod().metadata.name
    assert notebook.value_of("import os, platform; print(os.getuid(), platform.node())") == f"1000 {first}"
    plot = notebook.run(PLOT).locator("img, svg")
    expect(plot).to_be_visible(timeout=PATIENCE)
    assert plot.bounding_box()["width"] >= 300

    busy = notebook.run("import time\nprint('busy')\nfor _ in range(6000):\n    time.sleep(0.1)")
    expect(busy).to_contain_text("busy", timeout=PATIENCE)
    lab.menu("Kernel", "Interrupt Kernel")
    expect(busy.last).to_contain_text("KeyboardInterrupt", timeout=PATIENCE)

    lab.restart()
    expect(notebook.run("os").last).to_contain_text("NameError", timeout=PATIENCE)
    second = pods.pod().metadata.name
    assert second != first

    assert notebook.value_of("kept = 6 * 7; print('kept')") == "kept"
    lab.crash_server()
    notebook.expect_status("Idle")
    assert notebook.value_of("print(kept)") == "42"
    assert pods.pod().metadata.name == second

    lab.menu("Kernel", "Shut Down Kernel")
    expect(notebook.kernel_name).to_have_text("No Kernel")
    pods.assert_nothing_left()


def test_a_pod_that_is_deleted_is_the_reason_in_the_cell_that_ran_or_else_in_a_notification(lab, pods):
    notebook = lab.new_notebook("pod")
    output = notebook.run("import time\nprint('busy')\ntime.sleep(600)")
    expect(output).to_contain_text("busy", timeout=PATIENCE)
    pods.delete_pod()
    expect(output.last).to_contain_text("The kernel died: its pod was deleted", timeout=15 * SECONDS)
    lab.acknowledge_death()
    assert notebook.value_of("6 * 7") == "42"
    notebook.expect_status("Idle")
    pods.delete_pod()
    expect(lab.notification("pod died: its pod was deleted")).to_be_visible(timeout=15 * SECONDS)
    lab.acknowledge_death()
    notebook.expect_status("Starting", "Idle", seconds=60)
    assert notebook.value_of("6 * 7") == "42"


def test_the_panel_shows_and_manages_pods(lab, server, pods, monkeypatch):
    """What runs where, its limits, its log; restart, stop, and the adoption of what a dead program left."""
    notebook = lab.new_notebook("talking")
    first = pods.pod().metadata.name
    kernels = panel(lab)
    card = kernels.get_by_role("region", name="This server").get_by_role("listitem").filter(has_text="talking")
    expect(card).to_contain_text(f"pod {pods.namespace.name}/{first}", timeout=PATIENCE)
    expect(card).to_contain_text("300Mi")
    card.get_by_role("button", name="Logs talking").click()
    log = lab.dialog("Log of talking")
    expect(log).to_contain_text("its own words", timeout=PATIENCE)
    lab.page.keyboard.press("Escape")
    card.get_by_role("button", name="Restart talking").click()
    lab.answer(lab.dialog("Restart kernel?"), "Restart")
    expect(kernels.get_by_role("status")).to_have_text("talking was restarted.", timeout=PATIENCE)
    second = pods.pod().metadata.name
    assert second != first
    expect(card).to_contain_text(second, timeout=PATIENCE)
    card.get_by_role("button", name="Stop talking").click()
    lab.answer(lab.dialog("Stop kernel?"), "Stop")
    expect(kernels).to_contain_text("No remote kernel is running.", timeout=PATIENCE)
    expect(notebook.kernel_name).to_have_text("No Kernel")
    pods.assert_nothing_left()

    for variable, value in pods.home.environment.items():
        monkeypatch.setenv(variable, value)
    with OtherHost("k8skp", "talking") as dead:
        dead.resource()
    kernels.get_by_role("button", name="Refresh").click()
    left = kernels.get_by_role("region", name="Left by a dead program")
    left.get_by_role("button", name="Adopt talking").click()
    expect(card).to_contain_text(f"pod {pods.namespace.name}/{pods.pod().metadata.name}", timeout=PATIENCE)
    expect(left).to_have_count(0)
    server.request("POST", "remote-kernels/sweep", {})  # the dead program's lease


def test_the_schedulers_words_are_shown_while_it_waits_and_cancelling_leaves_nothing(lab, pods):
    notebook = lab.new_notebook("huge", ready=False)
    progress = lab.notification("huge: .*0/1 nodes are available: 1 Insufficient memory")
    expect(progress).to_be_visible(timeout=PATIENCE)
    progress.get_by_role("button", name="Cancel").click()
    expect(lab.notification("huge: the launch was cancelled")).to_be_visible()
    expect(notebook.kernel_name).to_have_text("No Kernel")
    pods.assert_nothing_left()
    lab.expect_nothing_runs()


def test_an_image_that_is_not_there_is_one_sentence(lab, server, pods, registry):
    pods.install("missing", image=f"{registry.host}/acme/none:1")
    lab.start_over()
    lab.card("missing").click()
    dialog = lab.dialog("Error Starting Kernel")
    said = " ".join(dialog.locator("pre").inner_text().split())
    assert f"the image '{registry.host}/acme/none:1' cannot be pulled" in said
    assert said.endswith("not found; correct the image's name or tag")
    lab.answer(dialog, "Ok")
