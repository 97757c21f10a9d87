"""The table of configuration keys: each type's spellings."""

import pytest

from remote_kernel_provider.kernelspecs.config_keys import BY_NAME, BY_PARAMETER, CONFIG_KEYS, EVERYWHERE, nearest


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("launch_timeout", 30, 30.0), ("launch_timeout", "2.5", 2.5),
        ("port_range", "0..0", (0, 0)), ("port_range", " 33000 .. 34000 ", (33000, 34000)),
        ("authorized_users", "a, b,", ("a", "b")), ("authorized_users", ["a", "b c"], ("a", "b c")),
        ("prohibited_uids", [0, "5"], (0, 5)), ("prohibited_uids", "0, 5", (0, 5)),
        ("uid", 1000, 1000), ("uid", "1000", 1000), ("gid", 0, 0), ("uid", "image", "image"), ("fs_group", "5", 5),
        ("resources", '{"amd.com/gpu": 1}', {"amd.com/gpu": "1"}), ("node_selector", {"a": "b"}, {"a": "b"}),
        ("affinity", '{"podAffinity": {}}', {"podAffinity": {}}), ("active_deadline", "60", 60),
        ("cpus", 2, "2"), ("cpus", 0.5, "0.5"), ("memory", "1Gi", "1Gi"),
        ("volumes", '[{"name": "a"}]', [{"name": "a"}]), ("volumes", [], []),
        ("volumes", "[{name: 'a', nfs: {server: s, path: /p}}]", [{"name": "a", "nfs": {"server": "s", "path": "/p"}}]),
        ("volume_mounts", "- name: a\n  mountPath: /a\n  readOnly: true", [
            {"name": "a", "mountPath": "/a", "readOnly": True}]),
        ("affinity", "podAffinity: {}", {"podAffinity": {}}), ("resources", "amd.com/gpu: 1", {"amd.com/gpu": "1"}),
        ("handshake", "reported", "reported"), ("transport_encryption", "required", "required"),
        ("image_name", "a/b:1", "a/b:1"),
    ],
)  # fmt: skip
def test_what_is_accepted(key, value, expected):
    assert BY_NAME[key].read(value) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("launch_timeout", 0), ("launch_timeout", "x"), ("launch_timeout", True), ("launch_timeout", None),
        ("launch_timeout", "nan"), ("launch_timeout", "inf"), ("launch_timeout", 10**400), ("launch_timeout", []),
        ("port_range", "1..2"), ("port_range", "40000..30000"), ("port_range", "1024..65536"), ("port_range", 5),
        ("port_range", "5"), ("authorized_users", 5), ("authorized_users", [1]), ("authorized_users", {"a": 1}),
        ("uid", -1), ("uid", True), ("uid", 1.0), ("uid", "01"), ("uid", "+1"), ("uid", " 1"), ("uid", "1 "),
        ("uid", "0x1"), ("uid", "1.0"), ("uid", "1e3"), ("uid", "1_0"), ("uid", "१"), ("uid", ""), ("uid", None),
        ("uid", 2**32 - 1), ("uid", 2**32), ("uid", [1]), ("uid", "-0"),
        ("prohibited_uids", "0,,1"), ("prohibited_uids", 0), ("prohibited_uids", ["root"]),
        ("cpus", "many"), ("cpus", True), ("cpus", [1]), ("cpus", -1), ("memory", float("nan")),
        ("gid", "image"), ("fs_group", "image"), ("resources", {"a": "many"}), ("resources", "x"), ("resources", [1]),
        ("node_selector", {"a": 1}), ("node_selector", {1: "a"}), ("affinity", []), ("affinity", "{"),
        ("active_deadline", 0), ("active_deadline", 1.5), ("active_deadline", 2**31),
        ("volumes", "x"), ("volumes", {"a": 1}), ("volumes", "5"), ("volumes", "- &a x\n- *a"),
        ("volumes", "- 2026-01-01"), ("volumes", "- !!binary aGk="), ("volumes", "- !!python/name:os.system"),
        ("volumes", "- .nan"), ("volumes", "- a\n--- b"), ("volumes", "[" * 5000),
        ("volumes", "[" * 5000 + "]" * 5000), ("volumes", "[" * 101 + "]" * 101),
        ("volumes", "- " * 5000), ("volumes", "\0"), ("volumes", "[a," * 5000),
        ("handshake", "Reported"), ("handshake", ["assigned"]), ("image_name", 5), ("image_name", None),
    ],
)  # fmt: skip
def test_what_is_not(key, value):
    with pytest.raises(ValueError) as error:  # noqa: PT011  # each reader has words of its own
        BY_NAME[key].read(value)
    assert str(error.value).startswith(("a ", "an ", "lower..upper", "assigned or reported"))


def test_the_table_is_one_table():
    assert len(BY_NAME) == len(CONFIG_KEYS)
    assert len(BY_PARAMETER) == sum(bool(key.parameter) for key in CONFIG_KEYS)
    for key in CONFIG_KEYS:
        assert key.meaning.endswith(".")
        assert key.expected
        assert key.backends
        assert key.backends <= EVERYWHERE
        assert not key.free or key.parameter


def test_what_a_client_may_set_without_a_schema():
    free = {key.parameter for key in CONFIG_KEYS if key.free}
    limits = {"cpus", "memory", "gpus", "cpus_limit", "memory_limit", "gpus_limit"}
    assert free == limits | {"launch_timeout", "working_dir"}


def test_the_nearest_word():
    assert nearest("memry", ["memory", "cpus"]) == "; did you mean 'memory'?"
    assert nearest("zzz", ["memory", "cpus"]) == ""
