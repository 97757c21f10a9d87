"""Kernels that outlive their server: a real `jupyter server`, killed or stopped and started again on the same port."""

import asyncio
import contextlib
import json
import shutil
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid

import psutil
import pytest

pytest.importorskip("jupyter_server", reason="Jupyter Server is not installed")

from engine.ports import free_port
from jupyter_homes import eventually
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from jupyter_servers import WITHOUT_FRONTENDS
from tornado.httpclient import HTTPError, HTTPRequest
from tornado.websocket import WebSocketClosedError, websocket_connect

pytestmark = pytest.mark.slow

TOKEN = "a-token-for-tests"
TINY = [sys.executable, "-m", "remote_kernel_provider.testing.tiny_kernel", "-f", "{connection_file}"]
MUTE = """
import sys
from remote_kernel_provider.testing import tiny_kernel

class MuteKernel(tiny_kernel.TinyKernel):
    def publish(self, kind, content):
        if kind != "status" or not self._namespace.get("mute"):
            super().publish(kind, content)

tiny_kernel.TinyKernel = MuteKernel
tiny_kernel.main(sys.argv[1:])
"""
"""A kernel that does not say its state any more, once it was told not to."""
IPYKERNEL = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
SUBPROTOCOL = "v1.kernel.websocket.jupyter.org"
RETRY = 0.3
"""Seconds between two attempts of a tab to connect again; Lab's are tens of seconds."""


class Server:
    """A Jupyter server that can be started again on its port."""

    def __init__(self, home, port=None, wanted=None, **environment):
        self.home = home
        self.port = port or free_port()
        self._wanted = wanted or self.port
        self.log = home.root / f"server-{self.port}.log"
        self._environment = environment
        self.process = None
        self.start()

    def start(self, **environment):
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "jupyter_server",
                    "--no-browser",
                    "--allow-root",
                    f"--ServerApp.port={self._wanted}",
                    f"--ServerApp.port_retries={self.port - self._wanted}",
                    f"--ServerApp.root_dir={self.home.work}",
                    f"--IdentityProvider.token={TOKEN}",
                    WITHOUT_FRONTENDS,
                ],
                env={**self.home.environment, **self._environment, **environment},
                cwd=self.home.work,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(self._answers, 60, lambda: f"the server does not answer:\n{self.log_text()}")

    def _answers(self):
        assert self.process.poll() is None, f"the server ended:\n{self.log_text()}"
        try:
            self.request("GET", "api/status")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def request(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            headers={"Authorization": f"token {TOKEN}"},
            method=method,
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def kernels(self):
        return {kernel["id"]: kernel for kernel in self.request("GET", "api/kernels")}

    def start_kernel(self, name):
        return self.request("POST", "api/kernels", {"name": name})["id"]

    def start_session(self, name, path="notebook.ipynb"):
        body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": name}}
        return self.request("POST", "api/sessions", body)

    def log_text(self):
        return self.log.read_text(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def crash(self):
        """End by SIGKILL, and start again."""
        self.kill()
        self.start()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not stop:\n{self.log_text()}") from None


class Tab:
    """A page of a browser: it keeps its session id and connects again by itself, as JupyterLab does."""

    def __init__(self, server, kernel_id):
        self._url = f"ws://127.0.0.1:{server.port}/api/kernels/{kernel_id}/channels"
        self._session = uuid.uuid4().hex
        self._socket = None
        self._connections = 0
        self._messages = []
        self._changed = asyncio.Event()
        self.may_connect = asyncio.Event()
        self.may_connect.set()
        self._following = asyncio.ensure_future(self._follow())

    async def __aenter__(self):
        await self.until(lambda: self._socket is not None, "connected")
        return self

    async def __aexit__(self, *_):
        self._following.cancel()
        await asyncio.wait([self._following])
        if self._socket is not None:
            self._socket.close()

    async def _follow(self):
        while True:
            await self.may_connect.wait()
            request = HTTPRequest(
                f"{self._url}?session_id={self._session}", headers={"Authorization": f"token {TOKEN}"}
            )
            with contextlib.suppress(OSError, HTTPError, WebSocketClosedError):
                self._socket = await websocket_connect(request, subprotocols=[SUBPROTOCOL])
                self._connections += 1
                self._changed.set()
                while (frame := await self._socket.read_message()) is not None:
                    channel, parts = deserialize_msg_from_ws_v1(frame)
                    header, parent, _, content = (json.loads(part) for part in parts[:4])
                    self._messages.append((channel, header["msg_type"], parent.get("msg_id"), content))
                    self._changed.set()
            self._socket = None
            self._changed.set()
            await asyncio.sleep(RETRY)

    async def outlives(self, restart):
        """Do something to the server, and wait until the page has connected again by itself."""
        before = self._connections
        await asyncio.to_thread(restart)
        await self.until(lambda: self._connections > before, "connected again")

    async def until(self, condition, what, seconds=45):
        deadline = time.monotonic() + seconds
        while not condition():
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), max(0, deadline - time.monotonic()))
            except asyncio.TimeoutError:
                raise AssertionError(f"not within {seconds} s: {what}; messages: {self._messages}") from None

    async def begin(self, code):
        """Start a cell; return its id."""
        await self.until(lambda: self._socket is not None, "connected")
        cell = uuid.uuid4().hex
        header = {
            "msg_id": cell,
            "msg_type": "execute_request",
            "session": self._session,
            "username": "",
            "date": "2026-01-01T00:00:00Z",
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": False}
        parts = [json.dumps(part).encode() for part in (header, {}, {}, content)]
        await self._socket.write_message(serialize_msg_to_ws_v1(parts, "shell"), binary=True)
        return cell

    def text(self, cell, name="stdout"):
        return "".join(
            content["text"]
            for _, kind, parent, content in self._messages
            if parent == cell and kind == "stream" and content["name"] == name
        )

    def has_ended(self, cell):
        mine = [(channel, kind, content) for channel, kind, parent, content in self._messages if parent == cell]
        replied = any(kind == "execute_reply" for _, kind, _ in mine)
        idle = any(kind == "status" and content["execution_state"] == "idle" for _, kind, content in mine)
        return replied and idle

    async def until_printed(self, cell, text):
        await self.until(lambda: text in self.text(cell), f"printed: {text}")

    async def until_heard(self):
        """Wait until the kernel's output arrives: after a restart, of any kernel, what comes first can be lost."""
        deadline = time.monotonic() + 45
        while True:
            cell = await self.begin("pass")
            with contextlib.suppress(AssertionError):
                await self.until(lambda: self.has_ended(cell), "ended: pass", seconds=1)  # noqa: B023
                return
            assert time.monotonic() < deadline, self._messages

    async def run(self, code):
        """Run a cell; return what it printed."""
        cell = await self.begin(code)
        await self.until(lambda: self.has_ended(cell), f"ended: {code}")
        return self.text(cell)


@pytest.fixture
def servers(home):
    """Start servers that end with the test."""
    started = []

    def start(at=home, **options):
        at.add_spec("tiny", TINY)
        at.add_spec("real", IPYKERNEL)
        started.append(Server(at, **options))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.kill()
        for process in server.home.kernel_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    for server in started:
        for folder in (server.home.folders, server.home.root / "data/remote-kernels"):
            if folder.exists():
                shutil.rmtree(folder)
        for file in server.home.runtime.glob("kernel-*.json"):
            file.unlink()


@pytest.mark.parametrize("name", ["tiny", "real"])
async def test_an_open_tab_finds_its_idle_kernel_again_after_kill_9(servers, name):
    server = servers()
    kernel = server.start_kernel(name)
    async with Tab(server, kernel) as tab:
        await tab.run("kept = 6 * 7")
        await tab.outlives(server.crash)
        assert list(server.kernels()) == [kernel]
        assert await tab.run("print(kept)") == "42\n"
        assert server.kernels()[kernel]["execution_state"] == "idle"
        assert server.kernels()[kernel]["name"] == name


def until_told(home, kernel):
    """Return a file, and a cell that prints something before and after it waits for that file."""
    go_on = home.work / f"go-on-{kernel}"
    waiting = f"while not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.05)"
    return go_on, f"import pathlib, time\nprint('before')\n{waiting}\nprint('after')"


@pytest.mark.parametrize("name", ["tiny", "real"])
async def test_a_cell_that_ran_on_without_a_server_puts_out_the_rest_and_ends(servers, home, name):
    server = servers()
    kernel = server.start_kernel(name)
    go_on, waiting = until_told(home, kernel)
    async with Tab(server, kernel) as tab:
        cell = await tab.begin(waiting)
        await tab.until_printed(cell, "before")
        await tab.outlives(server.crash)
        assert server.kernels()[kernel]["execution_state"] == "busy"
        go_on.touch()
        await tab.until(lambda: tab.has_ended(cell), "ended")
        assert tab.text(cell) == "before\nafter\n"
        assert tab.text(cell, "stderr").count("may be missing") == 1
        assert await tab.run("print('next')") == "next\n"
        eventually(
            lambda: server.kernels()[kernel]["execution_state"] == "idle", 5, lambda: str(server.kernels()[kernel])
        )


async def test_a_kernel_that_never_says_its_state_counts_as_idle_when_it_answers(servers, home):
    server = servers()
    kernel = server.start_kernel(home.add_spec("mute", [sys.executable, "-c", MUTE, "-f", "{connection_file}"]))
    go_on, waiting = until_told(home, kernel)
    async with Tab(server, kernel) as tab:
        cell = await tab.begin(f"mute = True\n{waiting}")
        await tab.until_printed(cell, "before")
        tab.may_connect.clear()
        await asyncio.to_thread(server.crash)
        assert server.kernels()[kernel]["execution_state"] == "busy"
        await asyncio.sleep(4)  # it has not answered, however long it was asked
        assert server.kernels()[kernel]["execution_state"] == "busy"
        go_on.touch()
        await asyncio.to_thread(
            eventually, lambda: server.kernels()[kernel]["execution_state"] == "idle", 10, lambda: "it stays busy"
        )


@pytest.mark.parametrize("name", ["tiny", "real"])
async def test_a_cell_that_ends_before_its_page_is_back_has_put_out_the_rest_and_ended(servers, home, name):
    server = servers()
    kernel = server.start_kernel(name)
    go_on, waiting = until_told(home, kernel)
    async with Tab(server, kernel) as tab:
        cell = await tab.begin(waiting)
        await tab.until_printed(cell, "before")
        tab.may_connect.clear()
        await asyncio.to_thread(server.crash)
        go_on.touch()
        await asyncio.to_thread(
            eventually, lambda: server.kernels()[kernel]["execution_state"] == "idle", 10, lambda: "it stays busy"
        )
        tab.may_connect.set()
        await tab.until(lambda: tab.has_ended(cell), "ended")
        assert tab.text(cell) == "before\nafter\n"
        assert tab.text(cell, "stderr").count("may be missing") == 1
        assert await tab.run("print('next')") == "next\n"


async def test_a_cell_that_runs_when_the_server_is_killed_is_told_why_its_kernel_dies_later(servers):
    server = servers()
    kernel = server.start_kernel("tiny")
    async with Tab(server, kernel) as tab:
        cell = await tab.begin("import time\nwhile True: print('on'); time.sleep(0.1)")
        await tab.until_printed(cell, "on")
        await tab.outlives(server.crash)
        await tab.until(lambda: "may be missing" in tab.text(cell, "stderr"), "told of the gap")
        (process,) = server.home.kernel_processes()
        process.kill()
        await tab.until(lambda: "its process has ended" in tab.text(cell, "stderr"), "told of the death", seconds=5)


def test_kernels_that_are_kept_are_there_when_the_server_was_stopped_and_started(servers):
    server = servers(RKP_ON_SERVER_STOP="keep")
    kernels = {server.start_kernel("tiny"), server.start_kernel("real")}
    ordinary = server.start_kernel("python3")
    running = {process.pid for process in server.home.kernel_processes()}
    server.stop()
    assert {process.pid for process in server.home.kernel_processes()} == running
    assert "kept for the server's next run: 2." in server.log_text()
    server.start()
    assert set(server.kernels()) == kernels
    assert ordinary not in server.kernels()


def test_kernels_are_deleted_when_the_server_is_stopped(servers):
    server = servers()
    server.start_kernel("tiny")
    server.start_kernel("python3")
    assert len(server.home.leftovers()) > 1
    server.stop()
    server.home.assert_nothing_left()


async def test_a_server_ends_whose_kernels_clients_have_left(servers):
    server = servers()
    async with Tab(server, server.start_kernel("tiny")):
        pass  # what comes for it from now on is kept, for as long as the server lives
    server.process.terminate()
    assert server.process.wait(15) == 0
    server.home.assert_nothing_left()


def test_a_cluster_keeps_kernels_by_default(servers):
    server = servers(KUBERNETES_SERVICE_HOST="127.0.0.1")
    kernel = server.start_kernel("tiny")
    server.stop()
    server.start()
    assert list(server.kernels()) == [kernel]


def test_what_a_server_could_not_adopt_is_deleted_with_the_others(servers):
    server = servers()
    server.start_kernel("tiny")
    server.kill()
    spec = server.home.specs / "tiny"
    shutil.move(spec, server.home.root / "away")
    server.start()
    assert server.kernels() == {}
    assert server.log_text().count("was not adopted") == 1
    assert len(server.home.kernel_processes()) == 1
    server.stop()
    shutil.rmtree(server.home.root / "away")
    server.home.assert_nothing_left()


def test_a_notebook_has_the_same_session_and_kernel_after_a_restart(servers):
    server = servers()
    session = server.start_session("tiny")
    (file,) = (server.home.root / "data/remote-kernels/sessions").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    server.crash()
    (after,) = server.request("GET", "api/sessions")
    for key in ("id", "path", "name", "type"):
        assert after[key] == session[key]
    assert after["kernel"]["id"] == session["kernel"]["id"]
    assert after["kernel"]["execution_state"] == "idle"
    server.request("DELETE", f"api/sessions/{session['id']}")
    server.home.assert_nothing_left()


def test_a_session_of_an_ordinary_kernel_is_gone_after_a_restart(servers):
    server = servers()
    server.start_session("python3")
    server.crash()
    assert server.request("GET", "api/sessions") == []


def test_a_damaged_file_of_sessions_is_begun_anew(servers):
    server = servers()
    server.start_session("tiny")
    (file,) = (server.home.root / "data/remote-kernels/sessions").iterdir()
    server.kill()
    file.write_bytes(b"SQLite format 3" + bytes(8000))
    server.start()
    assert server.request("GET", "api/sessions") == []
    assert len(server.kernels()) == 1
    assert "begun anew" in server.log_text()
    assert server.start_session("tiny")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_the_operator_says_of_the_sessions_file_counts(servers, home):
    config = home.root / "config" / "jupyter_server_config.json"
    config.write_text(json.dumps({"SessionManager": {"database_filepath": ":memory:"}}))
    try:
        server = servers()
        server.start_session("tiny")
        assert not list((home.root / "data/remote-kernels").glob("sessions/*"))
    finally:
        config.unlink()


@pytest.mark.parametrize("name", ["tiny", "real"])
async def test_an_adopted_kernel_is_restarted_interrupted_and_shut_down_as_any(servers, name):
    server = servers()
    session = server.start_session(name)
    kernel = session["kernel"]["id"]
    async with Tab(server, kernel) as tab:
        seen = "import os; print(os.getcwd(), os.environ['KERNEL_ID'], os.environ['JPY_SESSION_NAME'])"
        before = await tab.run(seen)
        await tab.outlives(server.crash)
        await tab.run("kept = 1")
        (old,) = server.home.kernel_processes()
        await asyncio.to_thread(server.request, "POST", f"api/kernels/{kernel}/restart")
        await tab.until_heard()
        assert await tab.run("print('kept' in globals())") == "False\n"
        assert await tab.run(seen) == before
        (new,) = server.home.kernel_processes()
        assert new.pid != old.pid
        cell = await tab.begin("import time\nprint('sleeps')\ntime.sleep(600)")
        await tab.until_printed(cell, "sleeps")
        await asyncio.to_thread(server.request, "POST", f"api/kernels/{kernel}/interrupt")
        await tab.until(lambda: tab.has_ended(cell), "interrupted", seconds=10)
    server.request("DELETE", f"api/kernels/{kernel}")
    assert server.kernels() == {}
    server.home.assert_nothing_left()


async def test_the_death_of_an_adopted_kernel_is_noticed(servers):
    server = servers()
    kernel = server.start_kernel("tiny")
    server.crash()
    (process,) = server.home.kernel_processes()
    async with Tab(server, kernel) as tab:
        process.kill()
        await tab.until(lambda: ("iopub", "restarting") in states(tab), "told of the restart", seconds=5)
        await tab.until_heard()
    (line,) = [line for line in server.log_text().splitlines() if f"{kernel} (local/tiny) died" in line]
    assert "its process has ended" in line


def states(tab):
    return [(channel, content["execution_state"]) for channel, kind, _, content in tab._messages if kind == "status"]


def test_a_kernel_that_ended_meanwhile_is_not_adopted_and_leaves_nothing(servers):
    server = servers()
    server.start_session("tiny")
    survivor = server.start_kernel("tiny")
    server.kill()
    ended = next(p for p in server.home.kernel_processes() if p.environ()["KERNEL_ID"] != survivor)
    ended.kill()
    eventually(lambda: len(server.home.kernel_processes()) == 1, 5, lambda: "it does not end")
    server.start()
    assert list(server.kernels()) == [survivor]
    assert server.request("GET", "api/sessions") == []
    assert all(survivor in left for left in server.home.leftovers() if not left.startswith("process"))
    assert "ended while no server was there" in server.log_text()


def test_servers_of_two_users_and_of_two_ports_leave_each_other_alone(servers, home, tmp_path):
    server = servers()
    other_user = servers(type(home)(tmp_path / "other"))
    other_port = servers()
    everyone = (server, other_user, other_port)
    kernels = [each.start_kernel("tiny") for each in everyone]
    for each in everyone:
        each.kill()
    server.start()
    assert [list(each.kernels()) for each in (server,)] == [kernels[:1]]
    server.start_kernel("tiny")  # a host's first launch sweeps
    server.stop()
    for each, kernel in zip(everyone[1:], kernels[1:], strict=True):
        each.start()
        assert list(each.kernels()) == [kernel]


def test_the_second_of_two_servers_that_are_started_alike_finds_its_own_kernels(servers):
    first = servers()
    second = servers(wanted=first.port, port=first.port + 1)
    kernels = [server.start_kernel("tiny") for server in (first, second)]
    for server in (first, second):
        server.kill()
    for server, kernel in zip((first, second), kernels, strict=True):
        server.start()
        assert list(server.kernels()) == [kernel]


def test_a_wrong_setting_costs_a_line_and_not_the_server(servers):
    server = servers(RKP_ON_SERVER_STOP="perhaps")
    assert server.kernels() == {}
    (line,) = [line for line in server.log_text().splitlines() if "cannot be looked for" in line]
    assert "on_server_stop" in line or "RKP_ON_SERVER_STOP" in line
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20) == 0
