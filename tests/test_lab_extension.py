"""JupyterLab's half of the server extension in a browser: notifications, the form of parameters, the panel."""

import json
import os
import re
import signal
from functools import partial

import pytest
from browsing import PATIENCE, SECONDS, NotebookPanel
from playwright.sync_api import Locator, expect

from remote_kernel_provider.testing.other_host import OtherHost
from remote_kernel_provider.testing.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOR_EVER = {"phase": "pulling", "message": "2 of 5 layers"}
NO_ROOM = {"reason": "Unschedulable", "message": "no node has room for it; ask for less memory"}
THREADS = {"type": "integer", "minimum": 1, "maximum": 8, "default": 2, "description": "Threads of computations."}
WORDS = {"type": "string", "title": "Greeting", "pattern": "^[a-z]*$"}


def pulling(seconds: float) -> dict[str, object]:
    return {**FOR_EVER, "seconds": seconds}


@pytest.fixture(scope="module")
def staged(make_staged):
    return make_staged("jupyter-lab", dead_seconds=60)


@pytest.fixture
def open_launcher(open_lab, staged):
    """Open JupyterLab with the kernels that are there by then; whatever a test leaves ends with it."""
    yield partial(open_lab, staged.server)
    for kernel_id in staged.listed():
        staged.delete(kernel_id)
    staged.home.assert_nothing_left()


@pytest.fixture
def other_program(staged, monkeypatch):
    """Let a program of the user launch a kernel and die; return the kernel's id."""
    for variable, value in {**staged.home.variables, "PYTHONPATH": str(staged.home.root / "site")}.items():
        monkeypatch.setenv(variable, value)

    def launch_and_die(name: str) -> str:
        with OtherHost("local", name) as program:
            return program.resource().kernel_id

    return launch_and_die


def with_parameters(staged, **properties: object) -> str:
    """Return the name of a kernel with parameters."""
    name = staged.add()
    for file in ("local_kernel.json", "kernel.json"):
        path = staged.home.specs / name / file
        document = json.loads(path.read_text())
        document["metadata"]["parameters"] = {"type": "object", "properties": properties}
        path.write_text(json.dumps(document))
    return name


def panel(lab) -> Locator:
    """Open the panel."""
    lab.page.get_by_role("tab", name="Remote Kernels").click()
    return lab.page.locator("#remote-kernels")


def form(lab, name: str) -> Locator:
    """Wait until the form of a kernel takes what is typed, and return it."""
    dialog = lab.dialog(f"Launch {name}")
    expect(dialog.locator("input").first).to_be_focused(timeout=PATIENCE)
    return dialog


def variable(notebook, name: str) -> str:
    return notebook.value_of(f"import os; print(os.environ.get('KERNEL_{name}', 'not set'))")


class TestNotifications:
    def test_a_slow_launch_is_followed_and_becomes_good_news(self, open_launcher, staged):
        name = staged.add(pulling(6))
        lab = open_launcher()
        notebook = lab.new_notebook(name, ready=False)
        progress = lab.notification(f"{name}: pulling its image, 2 of 5 layers · [1-9] s")
        expect(progress).to_be_visible(timeout=PATIENCE)
        seconds = progress.inner_text()
        expect(progress).not_to_have_text(seconds, timeout=5 * SECONDS)
        expect(lab.notification(f"{name} is ready after [6-9] s")).to_be_visible(timeout=PATIENCE)
        notebook.expect_status("Idle")
        expect(lab.notification("")).to_have_count(0, timeout=PATIENCE)

    def test_a_later_page_shows_a_launch_and_cancels_it_and_what_was_closed_stays_closed(self, open_launcher, staged):
        name = staged.add(FOR_EVER)
        first = open_launcher()
        notebook = first.new_notebook(name, ready=False)
        notebook.expect_status("Connecting")
        first.notification("2 of 5 layers").get_by_title("Hide notification").click()
        second = open_launcher(anew=True)
        progress = second.notification("2 of 5 layers")
        expect(progress).to_be_visible()
        assert first.notification("2 of 5 layers").count() == 0, "what its user has closed is open again"
        progress.get_by_role("button", name="Cancel").click()
        expect(second.notification(f"{name}: the launch was cancelled")).to_be_visible()
        staged.home.assert_nothing_left()
        first.expect_nothing_runs()

    def test_a_cancelled_launch_leaves_a_notebook_without_a_kernel(self, open_launcher, staged):
        name = staged.add(FOR_EVER)
        lab = open_launcher()
        notebook = lab.new_notebook(name, ready=False)
        notebook.expect_status("Connecting")
        lab.notification("2 of 5 layers").get_by_role("button", name="Cancel").click()
        expect(notebook.kernel_name).to_have_text("No Kernel")
        expect(lab.page.locator(".jp-Dialog")).to_have_count(0)
        staged.home.assert_nothing_left()

    def test_a_failed_launch_says_why_and_shows_its_log(self, open_launcher, staged):
        name = staged.add(pulling(4), failure={**NO_ROOM, "exit_code": 3})
        lab = open_launcher()
        lab.new_notebook(name, ready=False)
        lab.answer(lab.dialog("Error Starting Kernel"), "Ok")
        failure = lab.notification(re.escape(NO_ROOM["message"]))
        expect(failure).to_have_class(re.compile("error"))
        failure.get_by_role("button", name="Show Log").click()
        log = lab.dialog(f"Log of {name}")
        expect(log.locator("p")).to_contain_text(f"kernel 'local/{name}' ended")
        expect(log.get_by_role("log")).to_be_visible()
        lab.answer(log, "Close")

    def test_the_death_of_an_idle_kernel_has_a_reason_and_a_log(self, open_launcher, staged):
        name = staged.add()
        lab = open_launcher()
        notebook = lab.new_notebook(name)
        pid = int(notebook.value_of("import os; os.write(2, b'words of the kernel\\n'); print(os.getpid())"))
        expect(lab.notification("")).to_have_count(0)  # an ordinary launch is not worth a word
        staged.script(name, pulling(4))
        os.kill(pid, signal.SIGKILL)
        death = lab.notification(rf"{name} died: its process was ended by signal 9 \(SIGKILL\)\. It is being restarted")
        expect(death).to_be_visible()
        expect(lab.notification(rf"{name} \(restart\): pulling its image")).to_be_visible()
        lab.acknowledge_death()
        expect(lab.notification(f"{name} is ready")).to_be_visible(timeout=PATIENCE)
        death.get_by_role("button", name="Show Log").click()
        expect(lab.dialog(f"Log of {name}")).to_be_visible()

    def test_ordinary_kernels_are_left_alone(self, open_launcher, staged):
        staged.home.run("ipython", "kernel", "install", "--user", "--name", "ordinary", "--display-name", "Ordinary")
        lab = open_launcher()
        notebook = lab.new_notebook("Ordinary")
        expect(notebook.run("print(6 * 7)")).to_have_text("42\n")
        expect(lab.notification("")).to_have_count(0)
        expect(panel(lab)).to_contain_text("No remote kernel is running.")


class TestForm:
    def test_values_reach_the_kernel_and_are_remembered_in_the_server(self, open_launcher, staged):
        name = with_parameters(staged, threads=THREADS, greeting=WORDS)
        lab = open_launcher()
        notebook = lab.new_notebook(name, ready=False)
        dialog = form(lab, name)
        threads = dialog.get_by_label("Threads")
        expect(threads).to_have_value("2")
        threads.fill("9")
        expect(dialog).to_contain_text("must be <= 8")
        expect(dialog.locator(".jp-mod-accept")).to_be_disabled()
        threads.fill("4")
        lab.page.keyboard.press("Enter")
        notebook.expect_status("Idle")
        assert variable(notebook, "THREADS") == "4"
        lab.restart()
        expect(notebook.run("print('restarted')")).to_have_text("restarted\n", timeout=PATIENCE)
        assert variable(notebook, "THREADS") == "4"
        saved = staged.home.work / lab.save_new_notebook()
        until(lambda: "print('restarted')" in saved.read_text(), 10, "the notebook is saved")
        assert "parameters" not in json.loads(saved.read_text())["metadata"]

        later = open_launcher()
        notebook = later.new_notebook(name, ready=False)
        dialog = form(later, name)
        expect(dialog.get_by_label("Threads")).to_have_value("4")
        dialog.get_by_role("button", name="Use the defaults").click()
        expect(dialog.get_by_label("Threads")).to_have_value("2")
        later.answer(dialog, "Launch")
        notebook.expect_status("Idle")
        assert variable(notebook, "THREADS") == "2"

    def test_what_the_server_refuses_stands_at_its_field(self, open_launcher, staged):
        secret = {"type": "string", "writeOnly": True}
        name = with_parameters(staged, launch_timeout={"type": "number", "default": 30}, greeting=WORDS, word=secret)
        lab = open_launcher()
        notebook = lab.new_notebook(name, ready=False)
        dialog = form(lab, name)
        expect(dialog.get_by_label("Word")).to_have_attribute("type", "password")
        dialog.get_by_label("Launch timeout").fill("99999999")
        lab.page.keyboard.press("Enter")
        field = dialog.locator(".jp-RemoteKernels-field.jp-mod-wrong").last
        expect(field).to_contain_text("expected a positive number of seconds")
        assert staged.listed() == []
        dialog.get_by_label("Launch timeout").fill("20")
        lab.page.keyboard.press("Enter")
        notebook.expect_status("Idle")
        assert float(variable(notebook, "LAUNCH_TIMEOUT")) == 20

    def test_a_cancelled_form_launches_nothing_and_complains_of_nothing(self, open_launcher, staged):
        name = with_parameters(staged, threads=THREADS)
        lab = open_launcher()
        notebook = lab.new_notebook(name, ready=False)
        form(lab, name)
        lab.page.keyboard.press("Escape")
        expect(notebook.kernel_name).to_have_text("No Kernel")
        expect(lab.page.locator("#jp-main-statusbar")).to_contain_text("No Kernel | Unknown")
        expect(lab.page.locator(".jp-Dialog")).to_have_count(0)
        assert staged.listed() == []

    def test_a_kernel_that_is_changed_to_is_asked_for_and_the_old_one_stays_until_then(self, open_launcher, staged):
        plain, sized = staged.add(), with_parameters(staged, threads=THREADS)
        lab = open_launcher()
        notebook = lab.new_notebook(plain)
        notebook.kernel_name.click()
        lab.select_kernel(sized)
        form(lab, sized)
        lab.page.keyboard.press("Escape")
        expect(notebook.kernel_name).to_have_text(plain)
        notebook.kernel_name.click()
        lab.select_kernel(sized)
        form(lab, sized).get_by_label("Threads").fill("3")
        lab.page.keyboard.press("Enter")
        expect(notebook.kernel_name).to_have_text(sized, timeout=PATIENCE)
        notebook.expect_status("Idle")
        assert variable(notebook, "THREADS") == "3"
        until(lambda: len(staged.listed()) == 1, 10, "the old kernel has ended")

    def test_a_kernel_is_not_asked_for_again_until_its_user_wants_to(self, open_launcher, staged):
        name = with_parameters(staged, threads=THREADS)
        lab = open_launcher()
        notebook = lab.new_notebook(name, ready=False)
        dialog = form(lab, name)
        dialog.get_by_label("Threads").fill("5")
        dialog.get_by_text("Do not ask again for this kernel").click()
        lab.answer(dialog, "Launch")
        notebook.expect_status("Idle")

        later = open_launcher(anew=True)
        notebook = later.new_notebook(name)
        assert variable(notebook, "THREADS") == "5"
        before = set(staged.listed())
        later.page.keyboard.press("Control+Shift+C")
        later.page.keyboard.insert_text("Launch Kernel with Parameters")
        later.page.keyboard.press("Enter")
        form(later, name).get_by_label("Threads").fill("6")
        later.page.keyboard.press("Enter")
        until(lambda: set(staged.listed()) - before, 20, "the new kernel is there")
        until(lambda: len(staged.listed()) == 2, 20, "the kernel before has ended")
        notebook.expect_status("Idle")
        assert variable(notebook, "THREADS") == "6"

    def test_a_console_is_asked_for(self, open_launcher, staged):
        name = with_parameters(staged, threads=THREADS)
        lab = open_launcher()
        lab.page.locator(f'.jp-LauncherCard[data-category="Console"][title="{name}"]').click()
        form(lab, name)
        lab.page.keyboard.press("Enter")
        until(staged.listed, 20, "the kernel is there")


@pytest.fixture
def in_theme(open_launcher):
    """Open JupyterLab in a theme of its own, which the next page does not have."""
    lab = None

    def open_it(theme: str):
        nonlocal lab
        lab = open_launcher()
        choose(theme)
        return lab

    def choose(theme: str) -> None:
        lab.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
        expect(lab.page.locator("body")).to_have_attribute("data-jp-theme-name", theme)

    yield open_it
    choose("JupyterLab Light")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_what_is_shown_is_legible(in_theme, staged, theme):
    name = with_parameters(staged, threads=THREADS, greeting=WORDS)
    lab = in_theme(theme)
    notebook = lab.new_notebook(name, ready=False)
    dialog = form(lab, name)
    dialog.get_by_label("Threads").fill("9")
    expect(dialog).to_contain_text("must be <= 8")
    assert lab.illegible(dialog.locator(".jp-Dialog-body")) == []
    dialog.get_by_label("Threads").fill("4")
    lab.page.keyboard.press("Enter")
    notebook.expect_status("Idle")
    kernels = panel(lab)
    expect(kernels.get_by_role("listitem")).to_contain_text("idle")
    assert lab.illegible(kernels) == []
    kernels.get_by_role("button", name=f"Logs {name}").click()
    assert lab.illegible(lab.dialog(f"Log of {name}").locator(".jp-Dialog-body")) == []


class TestPanel:
    def test_kernels_are_shown_and_managed_by_keyboard(self, open_launcher, staged):
        name = staged.add()
        lab = open_launcher()
        notebook = lab.new_notebook(name)
        pid = notebook.pid()
        kernels = panel(lab)
        card = kernels.get_by_role("listitem").filter(has_text=name)
        expect(card).to_contain_text("Untitled")
        expect(card).to_contain_text(f"pid {pid} on")
        expect(card).to_contain_text("idle")
        press = lab.page.keyboard.press

        expect(kernels.get_by_role("button", name="Refresh")).to_be_focused()
        press("Tab")
        expect(card.get_by_role("button", name="Untitled")).to_be_focused()
        press("Tab")
        expect(card.get_by_role("button", name=f"Logs {name}")).to_be_focused()
        press("Enter")
        expect(lab.dialog(f"Log of {name}")).to_be_visible()
        press("Escape")
        press("Tab")
        press("Enter")
        lab.answer(lab.dialog("Restart kernel?"), "Restart")
        expect(kernels.get_by_role("status")).to_have_text(f"{name} was restarted.", timeout=PATIENCE)
        expect(card.get_by_role("button", name=f"Restart {name}")).to_be_focused()
        assert notebook.pid() != pid

        card.get_by_role("button", name=f"Logs {name}").focus()
        press("Tab")
        press("Tab")
        expect(card.get_by_role("button", name=f"Stop {name}")).to_be_focused()
        press("Enter")
        lab.answer(lab.dialog("Stop kernel?"), "Cancel")
        assert len(staged.listed()) == 1
        press("Enter")
        lab.answer(lab.dialog("Stop kernel?"), "Stop")
        expect(kernels).to_contain_text("No remote kernel is running.")
        expect(kernels.get_by_role("status")).to_have_text(f"{name} was stopped.")
        expect(kernels.locator(".jp-RemoteKernels-groups")).to_be_focused()
        expect(notebook.kernel_name).to_have_text("No Kernel")
        staged.home.assert_nothing_left()

    def test_a_kernels_notebook_is_a_click_away(self, open_launcher, staged):
        name = staged.add()
        first = open_launcher()
        first.new_notebook(name)
        second = open_launcher()
        panel(second).get_by_role("button", name="Untitled").click()
        notebook = NotebookPanel(second.page)
        expect(notebook.kernel_name).to_have_text(name, timeout=PATIENCE)

    def test_what_a_dead_program_left_is_adopted_or_removed(self, open_launcher, staged, other_program):
        name = staged.add()
        adopted = other_program(name)
        lab = open_launcher()
        kernels = panel(lab)
        left = kernels.get_by_role("region", name="Left by a dead program")
        left.get_by_role("button", name=f"Adopt {name}").click()
        here = kernels.get_by_role("region", name="This server")
        expect(here.get_by_role("listitem")).to_have_count(1, timeout=PATIENCE)
        expect(left).to_have_count(0)
        assert staged.listed() == [adopted]

        other_program(name)
        kernels.get_by_role("button", name="Refresh").click()
        expect(left.get_by_role("listitem")).to_have_count(1)
        left.get_by_role("button", name="Remove all of them…").click()
        dialog = lab.dialog("Remove what dead programs left?")
        expect(dialog.get_by_role("listitem")).to_contain_text([name])
        lab.answer(dialog, "Remove")
        expect(kernels.get_by_role("status")).to_have_text("1 kernel was removed.")
        expect(left).to_have_count(0)
        assert staged.listed() == [adopted]
