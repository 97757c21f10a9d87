"""Owners, the locks of living hosts, and the proof that one is dead."""

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.host import Host
from remote_kernel_provider.owner import (
    DETACHED,
    HostIdentity,
    Owner,
    OwnerSelector,
    client_instance,
    server_instance,
)

HOLD = """
    import os, sys
    from pathlib import Path
    from remote_kernel_provider.owner import HostIdentity
    identity = HostIdentity(Path(sys.argv[1]))
    print(identity.hold(sys.argv[2]), flush=True)
    {more}
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "remote-kernels"


@pytest.fixture
def identity(folder) -> HostIdentity:
    return HostIdentity(folder)


@pytest.fixture
def holder(folder):
    """Start processes that hold a lock; the instance that each one got."""
    started = []

    def hold(instance: str, more: str = "") -> tuple[subprocess.Popen, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(HOLD.format(more=more)), str(folder), instance],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process, process.stdout.readline().strip()

    yield hold
    for process in started:
        process.kill()
        process.communicate()


def owner(identity: HostIdentity, instance: str) -> Owner:
    return Owner("ann", identity.host_id, instance)


def test_a_living_host_is_not_dead_and_a_killed_one_is(identity, holder):
    process, instance = holder("client-1")
    assert instance == "client-1"
    assert identity.dead_since(owner(identity, "client-1")) is None
    process.kill()
    process.wait()
    before = time.time()
    since = identity.dead_since(owner(identity, "client-1"))
    assert before - 1 < since <= time.time()
    # The first look is remembered, by others too.
    assert HostIdentity(identity.folder).dead_since(owner(identity, "client-1")) == since


def test_a_fork_neither_holds_nor_releases_its_parents_lock(identity, holder):
    fork = """
    import warnings; warnings.simplefilter("ignore", DeprecationWarning)
    child = os.fork()
    if not child:
        print(os.getpid(), flush=True)
        import time; time.sleep(60)
        os._exit(0)
    """
    process, _ = holder("client-1", textwrap.dedent(fork).replace("\n", "\n    "))
    child = int(process.stdout.readline())
    try:
        assert identity.dead_since(owner(identity, "client-1")) is None
        process.kill()
        process.wait()
        assert identity.dead_since(owner(identity, "client-1")) is not None
        os.kill(child, 0)  # it lives
    finally:
        os.kill(child, 9)


def test_the_death_of_a_fork_is_not_its_parents(identity, holder):
    fork = """
    import warnings; warnings.simplefilter("ignore", DeprecationWarning)
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    print("the child is gone", flush=True)
    """
    process, _ = holder("client-1", textwrap.dedent(fork).replace("\n", "\n    "))
    assert process.stdout.readline() == "the child is gone\n"
    assert identity.dead_since(owner(identity, "client-1")) is None


def test_a_server_that_comes_back_is_the_same_instance_and_alive_again(identity, holder):
    process, _ = holder("server-8888")
    process.kill()
    process.wait()
    assert identity.dead_since(owner(identity, "server-8888")) is not None
    _, again = holder("server-8888")
    assert again == "server-8888"
    assert identity.dead_since(owner(identity, "server-8888")) is None


def test_when_a_server_dies_again_its_new_death_counts(identity, holder):
    process, _ = holder("server-8888")
    process.kill()
    process.wait()
    first = identity.dead_since(owner(identity, "server-8888"))
    process, _ = holder("server-8888")
    process.kill()
    process.wait()
    assert identity.dead_since(owner(identity, "server-8888")) > first


def test_two_servers_of_one_name_are_two_instances(identity, holder):
    _, first = holder("server-8888")
    _, second = holder("server-8888")
    assert first == "server-8888"
    assert second.startswith("client-")


@pytest.mark.slow
def test_a_look_at_the_lock_never_takes_a_servers_name_away(identity, holder):
    """A server may start at the very moment at which somebody looks whether it is dead."""
    process, _ = holder("server-8888")
    process.kill()
    process.wait()
    look = """
    print("looking", flush=True)
    from remote_kernel_provider.owner import Owner
    while True:
        identity.dead_since(Owner("ann", identity.host_id, "server-8888"))
    """
    looker, _ = holder("client-1", textwrap.dedent(look).replace("\n", "\n    "))
    assert looker.stdout.readline() == "looking\n"
    for _ in range(2000):
        assert identity.hold("server-8888") == "server-8888"
        identity.release("server-8888")


def test_holding_is_idempotent_and_releasing_too(identity, folder):
    assert identity.hold("client-1") == identity.hold("client-1") == "client-1"
    assert identity.dead_since(owner(identity, "client-1")) is None
    for _ in range(2):
        identity.release("client-1")
    assert list((folder / "hosts").iterdir()) == []
    assert identity.dead_since(owner(identity, "client-1")) == 0


def test_the_lock_of_a_server_stays_when_it_is_released(identity, folder):
    identity.hold("server-1")
    identity.release("server-1")
    assert [file.name for file in (folder / "hosts").iterdir()] == ["server-1.lock"]
    assert identity.dead_since(owner(identity, "server-1")) > 0


@pytest.mark.parametrize(
    "other", [Owner("ann", "another machine's user", "client-1"), Owner("ann", "HOST", DETACHED)], ids=repr
)
def test_who_cannot_be_judged_here_is_not_dead(identity, other):
    host_id = identity.host_id if other.host_id == "HOST" else other.host_id
    assert identity.dead_since(Owner(other.user, host_id, other.instance)) is None


@pytest.mark.parametrize("instance", ["../outside", "../../outside", "/outside", "a/b", "\0", "x" * 300, ""])
def test_what_somebody_wrote_on_a_kernel_leads_to_no_other_folder(identity, folder, tmp_path, instance):
    outside = [folder / "outside.lock", tmp_path / "outside.lock"]
    for file in outside:
        file.touch()
    assert identity.dead_since(Owner("ann", identity.host_id, instance)) == 0.0
    identity.forget(instance)
    assert [file.read_bytes() for file in outside] == [b"", b""]


def test_the_files_are_the_users_own(identity, folder):
    identity.hold("client-1")
    for path in [folder / "hosts", folder / "host.json", folder / "hosts" / "client-1.lock"]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_an_identity_is_made_once(folder):
    command = [
        sys.executable,
        "-c",
        "import sys; from pathlib import Path; from remote_kernel_provider.owner import HostIdentity; "
        "identity = HostIdentity(Path(sys.argv[1])); print(identity.host_id, identity.seal(b'x'))",
        str(folder),
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({process.communicate(timeout=20)[0] for process in running}) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["host.json", "hosts"]


def test_sealing(identity, tmp_path):
    seal = identity.seal(b"message")
    assert identity.is_sealed(b"message", seal)
    for wrong in ("", "0" * 64, "\ufffd", "é" * 64):
        assert not identity.is_sealed(b"message", wrong)
    assert not identity.is_sealed(b"another", seal)
    assert not HostIdentity(tmp_path / "another").is_sealed(b"message", seal)


@pytest.mark.parametrize(
    ("port", "url", "expected"),
    [(8888, "/", "server-8888"), (8888, "", "server-8888"), (80, "/user/ann@x/", "server-80-user-ann-x")],
)
def test_server_instances(port, url, expected):
    assert server_instance(port, url) == expected
    assert Owner("ann", "h", expected).returns


def test_client_instances_are_unique_and_do_not_return():
    assert client_instance() != client_instance()
    assert not Owner("ann", "h", client_instance()).returns
    assert not Owner("ann", "h", DETACHED).returns


def test_selectors():
    ann = Owner("ann", "h", "server-1")
    assert OwnerSelector().matches(ann)
    assert OwnerSelector("ann", "h", "server-1").matches(ann)
    for wrong in (OwnerSelector("bob"), OwnerSelector("ann", "x"), OwnerSelector("ann", "h", "server-2")):
        assert not wrong.matches(ann)


def test_an_instance_is_held_by_one_living_process_and_was_seen(identity, holder):
    assert not identity.has_seen("server-1")
    process, _ = holder("server-1")
    assert identity.has_seen("server-1")
    assert not identity.try_to_hold("server-1")
    process.kill()
    process.wait()
    assert identity.try_to_hold("server-1")
    assert identity.try_to_hold("server-1")


async def test_a_host_waits_for_a_predecessor_that_is_about_to_end(folder, holder):
    process, _ = holder("server-1")
    host = Host(RemoteKernelSettings(data_folder=str(folder)), "server-1")
    assert not await host.succeed(0)
    waiting = asyncio.ensure_future(host.succeed(20))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    process.kill()
    assert await waiting
    assert host.returns
    assert not host.has_launched
    host.resign()
    assert not host.returns
    assert holder("server-1")[1] == "server-1"
