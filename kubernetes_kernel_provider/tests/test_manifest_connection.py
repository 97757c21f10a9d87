"""What the kernel is given: its connection file, its command, its environment, its home."""

import base64
import json
import subprocess

import pytest
from pod_launches import COMMAND, HOST, KERNEL_ID, POD, parts, request_of, variables, write_spec

from kubernetes_kernel_provider.manifests import connection_secret, kept_memory, make_manifests, place
from remote_kernel_provider.errors import ParameterError


def test_the_connection_file_and_what_a_later_host_needs(tmp_path, settings):
    spec = write_spec(tmp_path)
    request = request_of(spec)
    manifests = make_manifests(request, place(request, settings, HOST), settings)
    pod, inside, container = parts(manifests)
    secret = connection_secret(pod, "uid-1", request.memory.connection, b"sealed")
    assert inside["volumes"][0]["secret"]["secretName"] == secret["metadata"]["name"]
    assert container["volumeMounts"][0] == {
        "name": "remote-kernel-connection",
        "mountPath": "/run/remote-kernel",
        "readOnly": True,
    }
    # The memory is for hosts: it holds what clients said.
    (item,) = inside["volumes"][0]["secret"]["items"]
    assert json.loads(base64.b64decode(secret["data"][item["key"]])) == request.memory.connection.to_json()
    assert secret["immutable"] is True
    assert secret["metadata"]["namespace"] == "team"
    assert secret["metadata"]["labels"] == pod["metadata"]["labels"]
    assert secret["metadata"]["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Pod", "name": manifests.name, "uid": "uid-1"}
    ]
    assert request.memory.connection.key not in json.dumps(pod)
    assert kept_memory(secret) == b"sealed"
    for broken in (secret | {"data": {}}, {}, secret | {"data": secret["data"] | {"memory": "?"}}):
        assert kept_memory(broken) is None


def test_a_writable_copy_of_the_connection_file(launch, tmp_path):
    hostile = "a b; $(id) `id` $HOME ' \" \n\\"
    _, spec, container = parts(launch(spec={"config": {"connection_file": "copied"}, "argv": [*COMMAND, hostile]}))
    assert spec["volumes"][1] == {
        "name": "remote-kernel-connection-copy",
        "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"},
    }
    shell, _, _, _, source, target, *command = container["command"]
    assert (shell, source, target) == (
        "sh",
        "/run/remote-kernel/connection.json",
        "/run/remote-kernel-copy/private/connection.json",
    )
    assert command[:5] == [*COMMAND[:-1], target]
    # As the cluster does it: `$$` is one `$`.
    words = [word.replace("$$", "$") for word in container["command"]]
    (tmp_path / "given").write_text("{}")
    words[4:] = [str(tmp_path / "given"), str(tmp_path / "own" / "copy"), "printf", "%s", words[-1]]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == hostile
    assert (tmp_path / "own" / "copy").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700


def test_a_kernel_that_is_given_curve_keys_can_write_its_connection_file(launch):
    _, _, container = parts(launch(encrypted=True))
    assert container["command"][0] == "sh"
    _, _, container = parts(launch(encrypted=True, spec={"config": {"connection_file": "mounted"}}))
    assert container["command"][0] == "python"


def test_the_reported_handshake_tells_by_environment(launch):
    _, spec, container = parts(launch(spec={"argv": []}))
    assert "command" not in container
    assert [volume["name"] for volume in spec["volumes"]] == ["remote-kernel-home"]
    _, _, container = parts(launch(spec={"argv": ["python", "-m", "launcher", "{response_address}"]}))
    assert container["command"][:3] == ["python", "-m", "launcher"]


def test_the_environment(launch):
    template = (
        f"{POD}spec:\n  containers:\n  - name: k\n    env: [{{name: A, value: t}}, {{name: B, value: t}}, "
        "{name: KERNEL_ID, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\n"
    )
    spec = {"env": {"B": "spec", "C": "spec", "D": "${HOME} $(A)"}}
    _, _, container = parts(launch({"team": "red"}, template=template, spec=spec, environment={"C": "client"}))
    found = variables(container)
    assert [found[name] for name in "ABC"] == ["t", "spec", "client"]
    assert found["D"] == "$${HOME} $$(A)"
    assert found["KERNEL_TEAM"] == "red"
    assert found["KERNEL_ID"] == KERNEL_ID
    assert len(found) == len(container["env"])


@pytest.mark.parametrize(
    ("name", "value"), [("A B", "x"), ("A=B", "x"), ("1A", "x"), ("", "x"), ("Ä", "x"), ("A", "\0"), ("A", "\ud800")]
)
def test_an_environment_that_cannot_be_had(launch, name, value):
    with pytest.raises(ParameterError):
        launch(environment={name: value})


def test_a_value_too_long_for_a_program(launch):
    launch(environment={"A": "x" * 131_000})
    with pytest.raises(ParameterError, match="the value of KERNEL_A is one that has 1000009 bytes") as error:
        launch({"a": "x" * 1_000_000})
    assert error.value.parameter == "a"
    with pytest.raises(ParameterError, match="the kernel's command has a word 'xxx"):
        launch(spec={"argv": [*COMMAND, "x" * 140_000]})


def test_a_home_that_can_be_written_to(launch):
    _, spec, container = parts(launch())
    assert variables(container)["HOME"] == "/home/kernel"
    assert {"name": "remote-kernel-home", "emptyDir": {}} in spec["volumes"]
    for own in (
        launch(spec={"env": {"HOME": "/home/jovyan"}}),
        launch(template=f"{POD}spec:\n  containers: [{{name: k, env: [{{name: HOME, value: /home/jovyan}}]}}]\n"),
    ):
        _, spec, container = parts(own)
        assert variables(container)["HOME"] == "/home/jovyan"
        assert [volume["name"] for volume in spec["volumes"]] == ["remote-kernel-connection"]
