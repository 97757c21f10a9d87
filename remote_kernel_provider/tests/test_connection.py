"""Connection info, the assigned handshake, and the requests to a kernel."""

import asyncio
import json
import socket
import sys
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from remote_kernel_provider.connection import channels
from remote_kernel_provider.connection.assigned import assign_connection, check_encryption, with_curve_keys
from remote_kernel_provider.connection.info import ConnectionInfo, Route
from remote_kernel_provider.connection.listener import tell_listener
from remote_kernel_provider.errors import LaunchError
from remote_kernel_provider.lifecycle import KernelMemory, KernelResource
from remote_kernel_provider.owner import Owner

PORTS = (5001, 5002, 5003, 5004, 5005)
CURVE = {"metadata": {"supported_encryption": ["curve"]}}


@pytest.fixture
def info():
    return with_curve_keys(ConnectionInfo("127.0.0.1", PORTS, "the key", "python"))


def test_a_connection_file_and_back(info):
    document = json.loads(json.dumps(info.to_json()))
    assert ConnectionInfo.from_json(document) == info
    # jupyter_client has the keys as bytes.
    as_bytes = {name: value.encode() if "key" in name else value for name, value in document.items()}
    assert ConnectionInfo.from_json(as_bytes) == info


def test_no_key_in_a_repr(info):
    assert not any(key in repr(info) for key in (info.key, info.curve_publickey, info.curve_secretkey))
    assert info.curve_secretkey not in repr(KernelMemory(info, {}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shell_port": 0}, "no valid 'shell_port'"), ({"hb_port": "5005"}, "no valid 'hb_port'"),
        ({"iopub_port": True}, "no valid 'iopub_port'"), ({"stdin_port": 65536}, "no valid 'stdin_port'"),
        ({"control_port": None}, "no valid 'control_port'"), ({"key": None}, "no text 'key'"),
        ({"key": 5}, "no text 'key'"),
        ({"curve_publickey": "short"}, "malformed CURVE keys"), ({"curve_secretkey": 5}, "malformed CURVE keys"),
    ],
)  # fmt: skip
def test_what_is_no_connection_info(info, change, said):
    with pytest.raises(ValueError, match=said):
        ConnectionInfo.from_json({**info.to_json(), **change})


def test_half_a_pair_of_curve_keys_is_none(info):
    assert not ConnectionInfo.from_json({**info.to_json(), "curve_secretkey": ""}).encrypted


def test_over_a_route(info):
    over = info.over(Route("10.0.0.9", (1, 2, 3, 4, 5)))
    assert (over.ip, over.ports, over.key) == ("10.0.0.9", (1, 2, 3, 4, 5), info.key)


class TestAssigned:
    @pytest.mark.parametrize(
        ("fields", "encryption", "encrypted"),
        [(CURVE, "auto", True), (CURVE, "required", True), (CURVE, "disabled", False), ({}, "auto", False),
         ({}, "disabled", False)],
    )  # fmt: skip
    def test_encryption(self, make_spec, fields, encryption, encrypted):
        assigned = assign_connection(make_spec(**fields), "0.0.0.0", PORTS, encryption)
        assert assigned.encrypted == encrypted
        assert (assigned.ip, assigned.ports) == ("0.0.0.0", PORTS)
        assert ("curve_secretkey" in assigned.to_json()) == encrypted

    def test_required_and_impossible(self, make_spec):
        with pytest.raises(
            LaunchError, match=r"kernel 'python': transport encryption is required, and the spec does not"
        ):
            assign_connection(make_spec(), "0.0.0.0", PORTS, "required")
        check_encryption(make_spec(**CURVE), "required")

    def test_keys_are_fresh_and_long(self, make_spec):
        one, two = (assign_connection(make_spec(**CURVE), "0.0.0.0", PORTS, "auto") for _ in range(2))
        assert one.key != two.key
        assert len(one.key) >= 32
        assert one.curve_secretkey != two.curve_secretkey

    @pytest.mark.parametrize("encryption", ["auto", "disabled"])
    def test_a_successor_takes_over_the_keys_of_its_clients(self, make_spec, info, encryption):
        successor = assign_connection(make_spec(**CURVE), "0.0.0.0", PORTS, encryption, info)
        assert successor.key == info.key
        assert successor.curve_secretkey == (info.curve_secretkey if encryption == "auto" else None)


class TestHandles:
    RESOURCE = KernelResource("local", "1", "k", "local/python", "g", Owner("ann", "h", "server-1"), 1.5, {"a": [1]})

    def test_a_resource_and_back(self):
        assert KernelResource.from_json(json.loads(json.dumps(self.RESOURCE.to_json()))) == self.RESOURCE

    @pytest.mark.parametrize("document", [{}, [], None, {"owner": 5}, {"owner": {}}, {"unknown": 1, "owner": {}}])
    def test_what_is_no_resource(self, document):
        with pytest.raises(ValueError, match="not a kernel resource"):
            KernelResource.from_json(document)

    @pytest.mark.parametrize(
        "change",
        [
            {"kernel_id": 5}, {"lifecycle": None}, {"generation": ["g"]}, {"data": []}, {"created": "1"},
            {"created": float("nan")}, {"created": -1}, {"created": 1e300}, {"created": None},
            {"owner": {"user": "ann", "host_id": "h", "instance": {}}},
        ],
    )  # fmt: skip
    def test_a_part_of_another_type(self, change):
        with pytest.raises(ValueError, match="not a kernel resource"):
            KernelResource.from_json({**self.RESOURCE.to_json(), **change})

    def test_a_memory_and_back(self, info):
        memory = KernelMemory(info, {"provider": "local", "request": {"values": {"a": 1}}}, 5006)
        assert KernelMemory.from_bytes(memory.to_bytes()) == memory
        older = {name: part for name, part in json.loads(memory.to_bytes()).items() if name != "comm_port"}
        assert KernelMemory.from_bytes(json.dumps(older).encode()).comm_port == 0

    @pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"5", b'{"connection": {}, "arguments": {}}', b"\xff"])
    def test_what_is_no_memory(self, text):
        with pytest.raises(ValueError, match="not a kernel's memory"):
            KernelMemory.from_bytes(text)


def test_a_launcher_is_told_of_a_signal():
    async def tell():
        heard = asyncio.Queue()

        async def hear(reader, writer):
            await heard.put(json.loads(await reader.read()))
            writer.close()

        async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await tell_listener("127.0.0.1", port, 2)
            assert await asyncio.wait_for(heard.get(), 5) == {"signum": 2}
        with pytest.raises(OSError, match="Connect call failed"):
            await tell_listener("127.0.0.1", port, 2)

    asyncio.run(tell())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, who waits in a full queue is refused")
async def test_a_port_behind_dropped_packets_is_found_at_the_next_attempt(info, monkeypatch):
    monkeypatch.setattr(channels, "ATTEMPT", 0.1)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        # What is sent to a full queue is dropped; TCP tries again a second after the first time, and after the second.
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        asked = replace(info, ports=(server.getsockname()[1], *PORTS[1:]))
        opening = asyncio.ensure_future(channels.KernelChannels(asked).until_open())
        begun = time.monotonic()
        await asyncio.sleep(1.1)
        assert not opening.done()
        server.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                waiting.append(server.accept()[0])
        await opening
        assert time.monotonic() - begun < 1.8
        for client in waiting:
            client.close()
