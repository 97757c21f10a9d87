"""Parts of the server extension's end points that need no server."""

import asyncio
import logging
import time
from types import SimpleNamespace

import pytest

pytest.importorskip("jupyter_server", reason="Jupyter Server is not installed")

from remote_kernel_provider.errors import KernelDiedError, LaunchError, ParameterError, RefusedError
from remote_kernel_provider.jupyter.failures import LaunchHTTPError
from remote_kernel_provider.jupyter.server import events, launches, remembered, waiting
from remote_kernel_provider.jupyter.server.events import public
from remote_kernel_provider.jupyter.server.launches import Launches, Subject
from remote_kernel_provider.jupyter.server.remembered import RememberedValues
from remote_kernel_provider.jupyter.server.waiting import WaitingValues
from remote_kernel_provider.launch import LaunchProgress
from remote_kernel_provider.lifecycle import KernelStatus, Phase

SUBJECT = Subject("k1", "py", "Python", "ann", {"image": "acme/x", "tags": ["red"]})


class TestWaitingValues:
    @pytest.fixture
    def values(self) -> WaitingValues:
        return WaitingValues()

    def test_they_are_used_once_and_by_their_user(self, values):
        assert values.put("k", "ann", "py", {"memory": "1Gi"})
        assert values.take("k", "bob", "py") is None
        assert values.take("k", "ann", "py") == {"memory": "1Gi"}
        assert values.take("k", "ann", "py") is None

    def test_they_expire(self, values, monkeypatch):
        values.put("k", "ann", "py", {})
        now = time.monotonic()
        monkeypatch.setattr(waiting.time, "monotonic", lambda: now + waiting.EXPIRY + 1)
        assert values.take("k", "ann", "py") is None

    def test_they_are_for_one_kernel(self, values):
        values.put("k", "ann", "py", {})
        with pytest.raises(ParameterError, match="for kernel 'py', not for 'r'"):
            values.take("k", "ann", "r")

    def test_a_user_has_a_bounded_number_and_pushes_out_no_other(self, values):
        values.put("of bob", "bob", "py", {})
        for number in range(waiting.MOST + 1):
            values.put(f"k{number}", "ann", "py", {})
        assert values.take("k0", "ann", "py") is None
        assert values.take("k1", "ann", "py") is not None
        assert values.take("of bob", "bob", "py") is not None

    def test_another_users_id_is_taken(self, values):
        values.put("k", "ann", "py", {"a": 1})
        assert not values.put("k", "bob", "py", {})
        assert values.put("k", "ann", "py", {"a": 2})
        assert values.take("k", "ann", "py") == {"a": 2}

    def test_they_stay_out_of_logs(self, values):
        values.put("k", "ann", "py", {"word": "hush"})
        assert "hush" not in repr(values.take("k", "ann", "py"))

    @pytest.mark.parametrize(
        ("body", "kernel_id"),
        [
            (b"", ""),
            (b"{", ""),
            (b"[1]", ""),
            (b'{"kernel": {"id": "a", "name": "py"}}', "a"),
            (b'{"name": "py", "kernel_id": "b"}', "b"),
            (b'{"name": "py", "id": "c"}', "c"),
            (b'{"kernel": {"id": 1}, "kernel_id": null}', ""),
        ],
    )
    def test_the_id_is_read_from_the_request(self, monkeypatch, body, kernel_id):
        monkeypatch.setattr(waiting, "request_body", lambda: body)
        assert waiting.id_in_request() == kernel_id


class TestRememberedValues:
    @pytest.fixture
    def values(self, tmp_path) -> RememberedValues:
        return RememberedValues(tmp_path / "values")

    def test_they_are_each_users_own(self, values):
        values.remember("ann", "local/py", {"memory": "1Gi"}, None)
        assert values.last("ann", "local/py") == {"memory": "1Gi"}
        assert values.last("ann", "local/r") == values.last("bob", "local/py") == {}
        values.forget("bob", "local/py")
        values.forget("ann", "local/py")
        assert values.last("ann", "local/py") == {}

    def test_what_the_schema_calls_secret_is_not_written(self, values, tmp_path):
        schema = {"properties": {"a": {"writeOnly": True}, "b": {"format": "password"}, "c": {}}}
        values.remember("ann", "local/py", {"a": "hush", "b": "hush", "c": 1}, schema)
        assert values.last("ann", "local/py") == {"c": 1}

    def test_the_file_is_private_and_bounded(self, values, tmp_path):
        for number in range(remembered.MOST + 5):
            values.remember("../ann", f"local/{number}", {"a": number}, None)
        (file,) = (tmp_path / "values").iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "values").stat().st_mode & 0o777 == 0o700
        assert values.last("../ann", "local/4") == {}
        assert values.last("../ann", "local/5") == {"a": 5}

    @pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"local/py": 3}', b"\xff"])
    def test_a_damaged_file_is_begun_anew(self, values, tmp_path, content):
        values.remember("ann", "local/py", {"a": 1}, None)
        (file,) = (tmp_path / "values").iterdir()
        file.write_bytes(content)
        assert values.last("ann", "local/py") == {}
        values.remember("ann", "local/py", {"a": 2}, None)
        assert values.last("ann", "local/py") == {"a": 2}


class TestPublic:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("0/3 nodes are available: 3 Insufficient memory.", "0/3 nodes are available: 3 Insufficient memory."),
            ("mend argv in /home/x y/kernel.json", "mend argv in … y/kernel.json"),
            ("its folder '/home/x y/z' is missing", "its folder … is missing"),
            ("~/bin/python is no program", "… is no program"),
            ("of ann's image acme/x, not annex", "of …'s image …, not annex"),
            ("https://registry.example/v2 refused the tag red", "https://registry.example/v2 refused the tag …"),
            ("two\nlines  and spaces", "two lines and spaces"),
        ],
    )
    def test_what_is_not_for_everybody_is_left_out(self, text, said):
        assert public(text, ["ann", *SUBJECT.values.values()]) == said

    def test_it_is_bounded(self):
        assert len(public("x" * 10_000, [])) == events.LONGEST


class TestLaunches:
    @pytest.fixture
    def told(self) -> list[events.KernelEvent]:
        return []

    @pytest.fixture
    def all_launches(self, told) -> Launches:
        found = Launches()
        found.tell = told.append
        return found

    async def test_steps_are_told_twice_a_second_at_most_and_the_last_always(self, all_launches, told, monkeypatch):
        monkeypatch.setattr(launches, "INTERVAL", 0.1)
        last = asyncio.Event()

        def tell(event: events.KernelEvent) -> None:
            told.append(event)
            if event.message == "layer 49":
                last.set()

        all_launches.tell = tell
        with all_launches.following(SUBJECT, restart=False) as launch:
            began = time.monotonic()
            for number in range(50):
                status = KernelStatus(Phase.PULLING, message=f"layer {number}")
                await asyncio.to_thread(launch.observe, LaunchProgress("k1", "local/py", status, 0.0))
                await asyncio.sleep(0.005)
            await asyncio.wait_for(last.wait(), 10)
            elapsed = time.monotonic() - began
        assert len(told) <= elapsed / 0.1 + 3
        assert [event.action for event in told] == ["launching"] * (len(told) - 1) + ["launched"]
        assert all_launches.under_way() == []

    async def test_nothing_is_told_after_the_end(self, all_launches, told):
        with all_launches.following(SUBJECT, restart=False) as launch:
            launch.observe(LaunchProgress("k1", "local/py", KernelStatus(Phase.PULLING), 0.0))
            await asyncio.sleep(0)
        launch.observe(LaunchProgress("k1", "local/py", KernelStatus(Phase.RUNNING), 0.0))
        await asyncio.sleep(0.01)
        assert told[-1].action == "launched"

    async def test_a_failure_keeps_its_words_for_the_owner(self, all_launches, told):
        status = KernelStatus(Phase.FAILED, reason="OOMKilled")
        error = KernelDiedError("the image acme/x of ann was too big", status=status, log_tail="a\nb")
        with pytest.raises(LaunchHTTPError), all_launches.following(SUBJECT, restart=True):
            raise LaunchHTTPError(error, in_dialog=True)
        assert (told[-1].action, told[-1].reason, told[-1].restart) == ("failed", "OOMKilled", True)
        assert told[-1].message == "the image … of … was too big"
        words = all_launches.last_words("k1")
        assert (words.user, words.message, words.logs) == ("ann", "the image acme/x of ann was too big", "a\nb")

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (RefusedError("memory 64Gi is refused to ann"), "it was refused"),
            (LaunchError("no room"), "no room"),
            (KeyError("/etc/secret"), "it failed; see the server's log"),
        ],
    )
    async def test_what_is_told_of_an_error(self, all_launches, told, error, said):
        with pytest.raises(type(error)), all_launches.following(SUBJECT, restart=False):
            raise error
        assert told[-1].message == said

    async def test_a_cancellation_is_told(self, all_launches, told):
        with pytest.raises(asyncio.CancelledError), all_launches.following(SUBJECT, restart=False):
            raise asyncio.CancelledError
        assert told[-1].action == "cancelled"
        assert all_launches.last_words("k1") is None

    async def test_last_words_are_bounded(self, all_launches):
        for number in range(launches.MOST_ENDED + 1):
            subject = Subject(f"k{number}", "py", "Python", "ann", {})
            all_launches.died(subject, KernelStatus(Phase.FAILED), "é" * launches.LONGEST_LOGS)
        assert all_launches.last_words("k0") is None
        assert 0 < len(all_launches.last_words("k1").logs.encode()) <= launches.LONGEST_LOGS


class TestEvents:
    async def test_they_follow_their_schema(self):
        logger = pytest.importorskip("jupyter_events.logger").EventLogger()
        all_launches, heard = Launches(), []
        server = SimpleNamespace(kernel_manager=SimpleNamespace(launches=all_launches), event_logger=logger, log=None)
        await events.register(server)

        async def listen(logger, schema_id, data):
            heard.append((schema_id, data))

        logger.add_listener(schema_id=events.SCHEMA_ID, listener=listen)
        # `emit` validates each against the schema.
        with all_launches.following(SUBJECT, restart=False):
            pass
        all_launches.tell_death(SUBJECT, KernelStatus(Phase.GONE), restarting=True)
        await asyncio.sleep(0.01)
        assert [data["action"] for _, data in heard] == ["launching", "launched", "died"]
        assert {schema_id for schema_id, _ in heard} == {events.SCHEMA_ID}
        properties = set(logger.schemas.get(events.SCHEMA_ID).properties)
        assert all(set(data) == properties for _, data in heard)

    async def test_older_event_loggers_want_a_number_as_version(self):
        registered = []

        def register(schema):
            if not isinstance(schema["version"], int):
                raise TypeError(schema["version"])
            registered.append(schema)

        logger = SimpleNamespace(register_event_schema=register)
        await events.register(SimpleNamespace(kernel_manager=SimpleNamespace(launches=Launches()), event_logger=logger))
        assert registered[0]["version"] == 1

    async def test_a_server_without_them_and_one_that_fails_harm_no_launch(self, caplog):
        await events.register(SimpleNamespace(kernel_manager=SimpleNamespace(launches=Launches())))

        def fail(**_):
            raise OSError("its handler's disk is full")

        logger = SimpleNamespace(register_event_schema=lambda schema: None, emit=fail)
        all_launches = Launches()
        server = SimpleNamespace(
            kernel_manager=SimpleNamespace(launches=all_launches), event_logger=logger, log=logging.getLogger("test")
        )
        await events.register(server)
        with all_launches.following(SUBJECT, restart=False):
            pass
        assert "was not emitted" in caplog.text
