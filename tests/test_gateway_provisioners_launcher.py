"""The reported handshake under our host: with the launcher of the package gateway_provisioners, and with our own."""

import json
import sys

import pytest
from clients import LIVED, live

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]

SEEN = {**LIVED, "another process": True}


@pytest.fixture(scope="module")
def peers_launcher(home, peer_environment) -> str:
    """Name of a spec of ours with the `argv` and the scripts that the peer's own installer writes."""
    install = [peer_environment / "bin/jupyter-ssh-spec", "install", "--user", "--kernel-name=written_by_the_peer"]
    home.run(*install)
    written = json.loads((home.specs / "written_by_the_peer/kernel.json").read_text())
    return home.add_spec("peers_launcher", [str(peer_environment / "bin/python"), *written["argv"][1:]])


@pytest.fixture(scope="module")
def our_launcher(home) -> str:
    """Name of a spec with our own launcher."""
    arguments = ("kernel_id", "port_range", "response_address", "public_key", "transport_encryption")
    options = [word for name in arguments for word in (f"--{name.replace('_', '-')}", f"{{{name}}}")]
    return home.add_spec("our_launcher", [sys.executable, "-m", "kernel_launchers.python", *options])


@pytest.fixture(params=["peers_launcher", "our_launcher"])
def launcher(request, home):
    yield request.getfixturevalue(request.param)
    home.assert_nothing_left()


@pytest.mark.parametrize("encryption", ["auto", "required"])
def test_a_kernel_lives_and_is_shut_down(home, launcher, encryption, tmp_path):
    assert live(home, launcher, encryption, TMPDIR=str(tmp_path)) == {**SEEN, "encrypted": True}
    # The peer's launcher takes half a minute to end by itself: it is ended before it tidies up.
    assert launcher == "peers_launcher" or list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["kill", "death"])
def test_a_kernel_that_is_killed_leaves_no_process(home, launcher, ending, tmp_path):
    assert live(home, launcher, ending=ending, TMPDIR=str(tmp_path)) == {**SEEN, "encrypted": True}


def test_the_operator_can_forbid_encryption(home, launcher):
    assert live(home, launcher, RKP_TRANSPORT_ENCRYPTION="disabled") == {**SEEN, "encrypted": False}


def test_the_ports_lie_in_the_range_of_the_operator(home, launcher):
    program = """
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name=sys.argv[1])
print(all(42000 <= port <= 43500 for port in manager.ports))
client.stop_channels()
manager.shutdown_kernel()
"""
    lived = home.run(sys.executable, "-c", program, launcher, env={"RKP_PORT_RANGE": "42000..43500"})
    assert lived.stdout == "True\n"


def test_a_launcher_that_cannot_start_is_one_sentence_with_its_output_in_the_log(home, peer_environment):
    script = home.specs / "no_launcher/scripts/launch_ipykernel.py"
    argv = [str(peer_environment / "bin/python"), str(script), "--response-address", "{response_address}"]
    name = home.add_spec("no_launcher", argv)
    program = """
import logging, sys
from jupyter_client.manager import start_new_kernel
logging.basicConfig()
try:
    start_new_kernel(kernel_name=sys.argv[1])
except Exception as error:
    print(error)
"""
    failed = home.run(sys.executable, "-c", program, name)
    assert failed.stdout.startswith(f"kernel 'local/{name}' ended ")
    assert "its process ended with exit code 2" in failed.stdout
    assert f"can't open file '{script}'" in failed.stderr
    home.assert_nothing_left()
