"""What is said of a local kernel's command that cannot be run, and of how its process ended."""

import os
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest
from processes import TINY

from remote_kernel_provider.errors import KernelDiedError, LaunchError, RefusedError
from remote_kernel_provider.exits import explain_exit
from remote_kernel_provider.lifecycle import Phase
from remote_kernel_provider.testing.waiting import until


@pytest.mark.slow
class TestCommands:
    """What is said of a command that cannot be run."""

    def fails(self, kernels, argv, **values) -> LaunchError:
        kernels.add_spec("wrong", argv)
        with pytest.raises(LaunchError) as failure:
            kernels.start("wrong", **values)
        assert failure.value.status.phase is Phase.FAILED
        return failure.value

    def test_not_found(self, kernels, folders):
        error = self.fails(kernels, ["no-such-command", "{connection_file}"])
        assert error.status.reason == "CommandNotFound"
        assert str(error).startswith("kernel 'local/wrong': its command 'no-such-command' cannot be run: No such file")
        assert "mend argv in " in str(error)
        assert folders() == []

    def test_not_executable(self, kernels, folders, tmp_path):
        file = tmp_path / "plain"
        file.write_text("x")
        error = self.fails(kernels, [str(file), "{connection_file}"])
        assert error.status.reason == "PermissionDenied"
        assert str(file) in str(error)
        assert folders() == []

    def test_no_program(self, kernels, folders, tmp_path):
        file = tmp_path / "rubbish"
        file.write_bytes(b"\0\1\2")
        file.chmod(0o700)
        assert "Exec format error" in str(self.fails(kernels, [str(file), "{connection_file}"]))
        assert folders() == []

    @pytest.mark.parametrize("folder", ["missing", "a file"])
    def test_a_working_directory_that_is_none(self, kernels, folders, tmp_path, folder):
        (tmp_path / "a file").touch()
        error = self.fails(kernels, TINY, working_dir=str(tmp_path / folder))
        assert error.status.reason == "WorkingDirectory"
        assert f"its working directory {tmp_path / folder} cannot be entered" in str(error)
        assert folders() == []

    @pytest.mark.parametrize("value", ["a\0b", "\ud800"])
    def test_what_no_process_can_be_given(self, kernels, folders, value):
        error = self.fails(kernels, TINY, colour=value)
        assert "kernel 'local/wrong'" in str(error)
        assert folders() == []

    def test_an_empty_command(self, kernels, folders):
        kernels.add_spec("empty", [], config={"handshake": "assigned"})
        with pytest.raises(LaunchError, match="'argv' is empty; a local kernel needs a command"):
            kernels.start("empty")
        assert folders() == []

    def test_a_runtime_folder_that_cannot_be_written(self, kernels, tmp_path):
        (tmp_path / "runtime").touch()
        with pytest.raises(LaunchError, match=r"kernel 'local/tiny'.*cannot be written: .*; make room there"):
            kernels.start("tiny")

    def test_another_user(self, kernels, folders):
        kernels.add_spec("other", TINY, config={"uid": os.getuid() + 1})
        with pytest.raises(RefusedError, match="local kernels run as the host's own uid"):
            kernels.start("other")
        assert folders() == []


class TestExits:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("script", "reason", "code", "said"),
        [
            ("exit 5", "Error", 5, "its process ended with exit code 5"),
            ("exit 127", "Error", 127, "exit code 127: the command was not found"),
            ("exit 126", "Error", 126, "exit code 126: the command cannot be executed"),
            ("kill -TERM $$", "SIGTERM", -15, "its process was ended by signal 15 (SIGTERM)"),
            ("kill -KILL $$", "SIGKILL", -9, "its process was ended by signal 9 (SIGKILL)"),
            ("ulimit -c 0; kill -SEGV $$", "SIGSEGV", -11, "(SIGSEGV)"),
            ("exit 0", "Completed", 0, "its process ended by itself"),
        ],
    )
    def test_reasons(self, kernels, folders, script, reason, code, said):
        kernels.add_spec("ending", ["sh", "-c", f"echo out; echo err >&2; {script}", "{connection_file}"])
        with pytest.raises(KernelDiedError) as failure:
            kernels.start("ending")
        assert (failure.value.status.reason, failure.value.status.exit_code) == (reason, code)
        assert said in str(failure.value)
        assert failure.value.log_tail == "out\nerr"
        assert folders() == []

    def test_signals_without_a_name(self):
        assert explain_exit(-42, False).reason == "signal 42"

    def test_only_a_kill_is_taken_for_the_out_of_memory_killers(self):
        assert explain_exit(-9, True).reason == "OOMKilled"
        assert explain_exit(-15, True).reason == "SIGTERM"

    @pytest.mark.slow
    def test_out_of_memory(self, memory_group, kernels, jupyter_folders):
        eat = "x = bytearray(1)\nwhile True: x += bytes(10_000_000)"
        kernels.add_spec("greedy", ["python", "-c", eat, "{connection_file}"])
        script = """
            import sys, uuid
            open(sys.argv[1], "w").write("0")
            from remote_kernel_provider.local.provider import LocalKernelProvider
            from remote_kernel_provider.errors import KernelDiedError
            from remote_kernel_provider.private_loop import PRIVATE_LOOP
            try:
                PRIVATE_LOOP.run(LocalKernelProvider().launch("greedy"))
            except KernelDiedError as error:
                print(error.status.reason, error, sep="\\n")
        """
        command = [sys.executable, "-c", textwrap.dedent(script), str(memory_group / "cgroup.procs")]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        assert told.splitlines()[0] == "OOMKilled"
        assert "it ran out of memory" in told


@pytest.fixture
def memory_group():
    """A control group with room for a host and not for a greedy kernel."""
    version1 = Path("/sys/fs/cgroup/memory")
    root = version1 if version1.exists() else Path("/sys/fs/cgroup")
    group = root / f"remote-kernel-test-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")
    try:
        limit = group / ("memory.limit_in_bytes" if version1.exists() else "memory.max")
        try:
            limit.write_text(str(300 * 2**20))
            if not version1.exists():
                (group / "memory.swap.max").write_text("0")
        except OSError as error:
            pytest.skip(f"no memory limit can be set here: {error}")
        yield group
    finally:
        until(lambda: not (group / "cgroup.procs").read_text(), 10, "the end of all in the control group")
        group.rmdir()
