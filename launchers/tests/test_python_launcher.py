"""Real kernels, started as a host starts them."""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zmq
from jupyter_client.session import Session
from tcp_timers import kept_alive

if TYPE_CHECKING:
    from conftest import Host, Kernel

pytestmark = [pytest.mark.slow, pytest.mark.pythons]

Run = Callable[[Any, str], dict[str, str]]
PORT_NAMES = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port", "comm_port")
SLEEP = "import time\nprint('begun', flush=True)\ntime.sleep(60)"


def knows_curve() -> bool:
    release = [tuple(map(int, metadata.version(name).split(".")[:2])) for name in ("ipykernel", "jupyter_client")]
    return release[0] >= (7, 3) and release[1] >= (8, 9)


needs_curve = pytest.mark.skipif(not knows_curve(), reason="needs ipykernel 7.3 and jupyter_client 8.9")


def start_cell(client: Any, code: str) -> None:
    """Run code and return when it has printed something."""
    client.execute(code, stop_on_error=False)  # an interrupt must not abort what the test runs next
    while client.get_iopub_msg(timeout=20)["msg_type"] != "stream":
        pass


# What is reported


def test_report(kernel: Kernel) -> None:
    info = kernel.info
    assert info["ip"] == "0.0.0.0"
    assert info["transport"] == "tcp"
    assert info["signature_scheme"] == "hmac-sha256"
    assert isinstance(info["kernel_name"], str)
    assert uuid.UUID(info["kernel_id"])
    assert re.fullmatch("[0-9a-f]{64}", info["key"])
    assert info["pid"] == info["pgid"] == kernel.process.pid
    assert len({info[name] for name in PORT_NAMES}) == 6
    assert not {"curve_publickey", "curve_secretkey"} & info.keys()


def test_keys_are_fresh(host: Host, kernel: Kernel) -> None:
    assert host.launch().info["key"] != kernel.info["key"]


def test_ports_are_bound_when_they_are_reported(host: Host) -> None:
    kernel = host.launch()
    for port in kernel.ports:
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="in use"):
                other.bind(("0.0.0.0", port))
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_connection_file_is_private(kernel: Kernel) -> None:
    folder = kernel.folder / "tmp"
    (file,) = folder.rglob("*.json")
    assert file.name == f"kernel-{kernel.info['kernel_id']}.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) & 0o077 == 0


def test_connections_are_kept_alive(kernel: Kernel, run: Run) -> None:
    with kernel.client() as client:
        run(client, "print()")
        for port in kernel.ports[:4]:
            assert set(kept_alive(port, at_the_server=True)) == {True}


# The kernel


def test_code_runs(kernel: Kernel, run: Run) -> None:
    with kernel.client() as client:
        assert run(client, "print(6 * 7)") == {"stdout": "42\n"}
        assert client.is_alive()  # the heartbeat answers


def test_namespace_is_that_of_any_kernel(host: Host, run: Run, tmp_path: Path) -> None:
    with host.launch().client() as client:
        names = run(client, "print(sorted(name for name in dir()))")["stdout"]
    code = textwrap.dedent(
        """
        from jupyter_client.manager import start_new_kernel
        manager, client = start_new_kernel(kernel_name="python3")
        client.execute_interactive("print(sorted(name for name in dir()))", timeout=30)
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        """
    )
    environ = {**os.environ, "IPYTHONDIR": str(tmp_path)}
    stock = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert names.strip() == stock.stdout.strip()


def test_user_code_sees_no_launcher(kernel: Kernel, run: Run) -> None:
    with kernel.client() as client:
        assert run(client, "import sys; print(sys.argv[1:], '' in sys.path)") == {"stdout": "[] True\n"}
        assert run(client, "import __main__; print(hasattr(__main__, 'PROGRAM'))") == {"stdout": "False\n"}
        assert run(client, "import os; print('JPY_PARENT_PID' in os.environ)") == {"stdout": "False\n"}
        assert run(client, "import logging; print(logging.getLogger().handlers)") == {"stdout": "[]\n"}


def test_files_of_the_working_directory_shadow_nothing(host: Host, run: Run, tmp_path: Path) -> None:
    (tmp_path / "tornado.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "mine.py").write_text("answer = 42")
    kernel = host.launch(host.arguments(), cwd=tmp_path)
    with kernel.client() as client:
        assert run(client, "import mine; print(mine.answer)") == {"stdout": "42\n"}


def test_configuration_of_the_image_does_not_move_the_kernel(host: Host, run: Run, tmp_path: Path) -> None:
    (tmp_path / "profile_default").mkdir()
    (tmp_path / "profile_default" / "ipython_kernel_config.py").write_text(
        "c = get_config()\n"
        "c.IPKernelApp.ip = '127.0.0.9'\n"
        "c.IPKernelApp.shell_port = 1\n"
        "c.IPKernelApp.connection_file = 'elsewhere.json'\n"
        "c.InteractiveShellApp.exec_lines = ['configured = 42']\n"
    )
    kernel = host.launch(host.arguments(), IPYTHONDIR=str(tmp_path))
    with kernel.client() as client:
        assert run(client, "print(configured)") == {"stdout": "42\n"}


def test_another_kernel_class(host: Host, run: Run, tmp_path: Path) -> None:
    (tmp_path / "shouting.py").write_text(
        textwrap.dedent(
            """
            from ipykernel.ipkernel import IPythonKernel

            class ShoutingKernel(IPythonKernel):
                implementation = "shouting"
            """
        )
    )
    kernel = host.launch(host.arguments(**{"kernel-class-name": "shouting.ShoutingKernel"}), PYTHONPATH=str(tmp_path))
    with kernel.client() as client:
        assert client.kernel_info(reply=True, timeout=10)["content"]["implementation"] == "shouting"


@needs_curve
@pytest.mark.parametrize("policy", ["auto", "required"])
def test_curve(host: Host, run: Run, policy: str) -> None:
    kernel = host.launch(host.arguments(**{"transport-encryption": policy}))
    assert len(kernel.info["curve_publickey"]) == len(kernel.info["curve_secretkey"]) == 40
    with kernel.client() as client:
        assert run(client, "print(6 * 7)") == {"stdout": "42\n"}
        assert client.is_alive()
    # Who speaks no CURVE is not heard.
    session = Session(key=kernel.info["key"].encode())
    with zmq.Context() as context, context.socket(zmq.DEALER) as plain:
        plain.linger = 0
        plain.connect(f"tcp://127.0.0.1:{kernel.info['shell_port']}")
        session.send(plain, "kernel_info_request", {})
        assert not plain.poll(1000)


@pytest.mark.skipif(knows_curve(), reason="this ipykernel knows CURVE")
def test_curve_where_the_kernel_knows_none(host: Host, run: Run) -> None:
    kernel = host.launch(host.arguments(**{"transport-encryption": "auto"}))
    assert "curve_publickey" not in kernel.info
    with kernel.client() as client:
        assert run(client, "print(6 * 7)") == {"stdout": "42\n"}
    refused = host.start(host.arguments(**{"transport-encryption": "required"}))
    assert refused.wait() == 1
    assert re.fullmatch(r"launch-ipykernel: transport encryption is required, but .*\n", refused.stderr())


# How it is called


def test_old_spellings(host: Host, run: Run) -> None:
    old = [f"--RemoteProcessProxy.{name}={value}" for name, value in host.values().items()]
    kernel = host.launch([*old, "--RemoteProcessProxy.spark-context-initialization-mode=none", "--cluster-type=spark"])
    with kernel.client() as client:
        assert run(client, "print(6 * 7)") == {"stdout": "42\n"}


def test_environment(host: Host) -> None:
    kernel_id, port_range, response_address, public_key = host.values().values()
    kernel = host.launch(
        ["--transport-encryption", "{transport_encryption}"],
        KERNEL_ID=kernel_id,
        EG_PORT_RANGE=port_range,
        EG_RESPONSE_ADDRESS=response_address,
        PUBLIC_KEY=public_key,
    )
    assert kernel.info["kernel_id"] == kernel_id
    assert kernel.is_listening()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"public-key": "rubbish"}, "public key: not an RSA public key"),
        ({"port-range": "9..1"}, "port range '9..1'"),
        ({"spark-context-initialization-mode": "lazy"}, "later version"),
        ({"kernel-class-name": "no.such.Kernel"}, "kernel class 'no.such.Kernel' cannot be imported"),
        ({"kernel-class-name": "pathlib.Path"}, "not a subclass of ipykernel.kernelbase.Kernel"),
        ({"surprise": "1"}, "unrecognized arguments"),
    ],
)
def test_bad_arguments(host: Host, arguments: dict[str, str], message: str) -> None:
    kernel = host.start(host.arguments(**arguments))
    assert kernel.wait() == 2
    (line,) = kernel.stderr().splitlines()
    assert line.startswith("launch-ipykernel: ")
    assert message in line


def test_a_kernel_that_fails_is_not_reported(host: Host, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        textwrap.dedent(
            """
            from ipykernel.ipkernel import IPythonKernel

            class BrokenKernel(IPythonKernel):
                def __init__(self, **kwargs):
                    raise RuntimeError("no licence")
            """
        )
    )
    kernel = host.start(host.arguments(**{"kernel-class-name": "broken.BrokenKernel"}), PYTHONPATH=str(tmp_path))
    assert kernel.wait() == 1
    assert "no licence" in kernel.stderr()
    host.server.settimeout(0.1)
    with pytest.raises(TimeoutError):
        host.server.accept()
    host.server.settimeout(30)


def test_host_that_cannot_be_reached(host: Host) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        kernel = host.start(host.arguments(**{"response-address": address}))
        assert kernel.wait() == 1
    assert f"cannot report to the host at {address}" in kernel.stderr()
    assert list((kernel.folder / "tmp").iterdir()) == []


# Ports


def free_block(count: int) -> int:
    """Return the first of so many consecutive free ports."""
    for first in range(21000, 32000, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("0.0.0.0", port))
            except OSError:
                continue
            return first
    raise AssertionError("no block of free ports")


def test_port_range(host: Host, run: Run) -> None:
    first = free_block(12)
    with ExitStack() as stack:
        taken = range(first, first + 12, 3)
        for port in taken:
            stack.enter_context(socket.create_server(("0.0.0.0", port)))
        kernel = host.launch(host.arguments(**{"port-range": f"{first}..{first + 11}"}))
        assert set(kernel.ports) <= set(range(first, first + 12)) - set(taken)
        assert len(set(kernel.ports)) == 6
        with kernel.client() as client:
            assert run(client, "print(6 * 7)") == {"stdout": "42\n"}
            assert client.is_alive()


@pytest.mark.parametrize("room", [0, 4, 5])
def test_port_range_that_is_full(host: Host, room: int) -> None:
    first = free_block(12)
    with ExitStack() as stack:
        for port in range(first + room, first + 12):
            stack.enter_context(socket.create_server(("0.0.0.0", port)))
        kernel = host.start(host.arguments(**{"port-range": f"{first}..{first + 11}"}))
        assert kernel.wait() == 1
    assert f"no free port found on the port range {first}..{first + 11}" in kernel.stderr().splitlines()[-1]


# The listener


def test_interrupts_a_busy_cell(kernel: Kernel, run: Run) -> None:
    with kernel.client() as client:
        for code in (SLEEP, "print('begun', flush=True)\nwhile True: pass"):
            start_cell(client, code)
            begun = time.monotonic()
            kernel.command({"signum": 2})
            while (message := client.get_iopub_msg(timeout=10))["msg_type"] != "error":
                pass
            assert message["content"]["ename"] == "KeyboardInterrupt"
            assert time.monotonic() - begun < 3
        assert run(client, "print(6 * 7)") == {"stdout": "42\n"}


def test_an_idle_kernel_survives_an_interrupt(kernel: Kernel, run: Run) -> None:
    with kernel.client() as client:
        kernel.command({"signum": 2})
        # Nothing tells when the signal has arrived, and ipykernel loses the reply of a request that it hits on its way.
        time.sleep(0.5)
        assert run(client, "print(6 * 7)") == {"stdout": "42\n"}


def test_other_signals_reach_the_process(kernel: Kernel, run: Run) -> None:
    with kernel.client() as client:
        run(client, "import signal; got = []; _ = signal.signal(signal.SIGUSR1, lambda *_: got.append(1))")
        for _ in range(3):
            kernel.command({"signum": 10})
            time.sleep(0.1)
        assert run(client, "print(got); _ = signal.signal(signal.SIGUSR1, signal.SIG_DFL)") == {"stdout": "[1, 1, 1]\n"}


def test_nothing_stops_the_listener(kernel: Kernel, run: Run) -> None:
    with kernel.client() as client:
        start_cell(client, SLEEP)
        silent = [kernel.connect() for _ in range(5)]
        for data in (b"rubbish", b"\xff\xfe\0", b"[" * 3000, b'{"signum": 999}', b'{"signum": "2"}'):
            kernel.command(data)
        with suppress(ConnectionError):  # it is cut off
            kernel.command(b"x" * 1_000_000)
        begun = time.monotonic()
        assert kernel.is_listening()
        kernel.command({"signum": 2})
        while client.get_iopub_msg(timeout=10)["msg_type"] != "error":
            pass
        assert time.monotonic() - begun < 3
        for each in silent:
            each.close()


def test_user_code_cannot_break_the_listener_by_accident(host: Host, run: Run) -> None:
    kernel = host.launch()
    with kernel.client() as client:
        run(client, "import socket, signal; socket.setdefaulttimeout(0.001)")
        run(client, "signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN)")
        start_cell(client, "print('begun', flush=True)\nwhile True: pass")
        kernel.command({"signum": 15})
        kernel.command({"signum": 2})
        while client.get_iopub_msg(timeout=10)["msg_type"] != "error":
            pass
        assert kernel.is_listening()


def test_strangers_are_refused(host: Host) -> None:
    kernel = host.launch()
    with kernel.connect("127.0.0.2") as stranger:
        assert stranger.recv(1) == b""
    for data in ({"signum": 9}, {"shutdown": 1}):
        with suppress(ConnectionError):  # it may be refused before it is sent
            kernel.command(data, source="127.0.0.2")
    time.sleep(0.3)
    assert kernel.process.poll() is None
    assert kernel.is_listening()


def test_a_host_with_several_addresses_on_this_machine(new_host: Any) -> None:
    kernel = new_host("127.0.0.2").launch()
    assert kernel.is_listening()
    kernel.command({"signum": 9}, source="127.0.0.3")
    time.sleep(0.3)
    assert kernel.process.poll() is None
    kernel.command({"signum": 9}, source="127.0.0.1")
    assert kernel.wait() == -9


def test_shutdown_of_the_listener_leaves_the_kernel(host: Host, run: Run) -> None:
    kernel = host.launch()
    with kernel.client() as client:
        kernel.command({"shutdown": 1})
        end = time.monotonic() + 5
        while kernel.is_listening() and time.monotonic() < end:
            time.sleep(0.05)
        assert not kernel.is_listening()
        assert run(client, "print(6 * 7)") == {"stdout": "42\n"}
        client.shutdown()
        assert kernel.wait() == 0
    assert kernel.leftovers() == []


def test_forked_processes_do_not_keep_the_port(host: Host, run: Run) -> None:
    kernel = host.launch()
    with kernel.client() as client:
        child = run(
            client, "import os, time\nchild = os.fork()\nif not child:\n  time.sleep(60); os._exit(0)\nprint(child)"
        )
        kernel.process.kill()
        kernel.wait()
        assert not kernel.is_listening()
        os.kill(int(child["stdout"]), 9)


# The end


def test_shutdown_ends_everything(host: Host, run: Run) -> None:
    kernel = host.launch()
    with kernel.client() as client:
        run(client, "import subprocess, threading; child = subprocess.Popen(['sleep', '60'])")
        # ipykernel waits half a minute for children that nobody reaps.
        run(client, "threading.Thread(target=child.wait, daemon=True).start()")
        client.shutdown()
        assert kernel.wait() == 0
    assert kernel.leftovers() == []


@pytest.mark.parametrize("signum", [15, 9])
@pytest.mark.parametrize("code", ["", SLEEP], ids=["idle", "busy"])
def test_deadly_signals_leave_nothing(host: Host, signum: int, code: str) -> None:
    kernel = host.launch()
    with kernel.client() as client:
        if code:
            start_cell(client, code)
        kernel.command({"signum": signum})
        assert kernel.wait() == -signum
    assert kernel.leftovers() == []


def test_sigterm_from_outside_leaves_nothing(host: Host) -> None:
    kernel = host.launch()
    kernel.process.terminate()
    assert kernel.wait() == -15
    assert kernel.leftovers() == []


def test_exit_status_is_the_kernels(host: Host) -> None:
    kernel = host.launch()
    with kernel.client() as client:
        client.execute("import os; os._exit(7)")
        assert kernel.wait() == 7


def test_a_thread_that_never_ends_does_not_keep_the_process(host: Host, run: Run) -> None:
    kernel = host.launch()
    with kernel.client() as client:
        run(client, "import threading, time; threading.Thread(target=time.sleep, args=(300,)).start()")
        begun = time.monotonic()
        client.shutdown()
        time.sleep(1)
        assert kernel.is_listening()  # so that the host can tell, and end it
        assert kernel.wait() == 0
        assert time.monotonic() - begun < 15
    assert kernel.leftovers() == []


def test_many_at_once_in_a_narrow_range(host: Host) -> None:
    first = free_block(30)
    kernels = [host.start(host.arguments(**{"port-range": f"{first}..{first + 29}"})) for _ in range(4)]
    reports = [host.receive() for _ in kernels]
    ports = [report[name] for report in reports for name in PORT_NAMES]
    assert len(set(ports)) == 24
    assert set(ports) <= set(range(first, first + 30))
