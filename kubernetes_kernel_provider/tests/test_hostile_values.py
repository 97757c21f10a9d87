"""Hostile values through every parameter and name: no object differs from the benign one but in that one value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pod_launches import KERNEL_ID, request_of, write_spec

from kubernetes_kernel_provider.manifests import HostAccount, make_manifests, place
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import RemoteKernelError

HOSTILE = [
    # YAML
    "a: b", "a\nhostNetwork: true", "\n- name: x", '"', "'", '"}, hostPID: {"', "# ", " #", "---\nkind: Pod", "...",
    "&a", "*a", "!!python/object:x", "|", ">-", "%YAML 1.1", "? x", "- x", "[]", "{}", "~", "null", "true", "0123",
    "1e9", "2026-01-01", "<<: *a", "",
    # Jinja
    "{{ 7 * 7 }}", "{% include 'x' %}", "{# x #}", "}}", "{{ kernel_id }}", "{{ self }}", "{% raw %}",
    # Shells, and what a cluster expands
    "$(id)", "$(KERNEL_ID)", "$$(KERNEL_ID)", "$HOME", "`id`", "; id", "| id", "&& id", "\\", "x\\ny", "-rf", "--help",
    # JSON
    '{"a": 1}', '[1, 2]', '"a"', "\\u0000", "NaN",
    # Paths, Unicode, control characters, length
    "../../etc", "/", "日本", "🙂", "é" * 300, "\u2028", "\u202e", "\ufeff", "\x85", "\t", "\r\n", "\x1b[31m", "\x7f",
    "x" * 300, "x" * 100_000, " ",
    # What no program and no cluster can be given: refused, never mended
    "a\0b", "\ud800",
]  # fmt: skip
BENIGN = "zqbenignqz"
"""Occurs nowhere else, so every place that a value reaches can be found."""

TEMPLATE = """\
apiVersion: v1
kind: Pod
metadata:
  name: x
  annotations:
    quoted: "{{ kernel_note }}"
    plain: {{ kernel_note }}
    within: a-{{ kernel_note }}-b
    user: '{{ kernel_username }}'
    joined: {{ kernel_note ~ "/" ~ kernel_username }}
    block: |-
      {{ kernel_note }}
spec:
  hostname: {{ kernel_note }}
  containers:
  - name: kernel
    env:
    - name: NOTE
      value: "<{{ kernel_note }}>"
    args: ["{{ kernel_note }}", {{ kernel_note }}]
    volumeMounts:
    {% for mount in kernel_volume_mounts %}
    - {{ mount }}
    {% endfor %}
  - name: side
    image: {{ kernel_image }}
    command: ["{{ kernel_note }}", {{ kernel_note }}]
  volumes:
  {% for volume in kernel_volumes %}
  - {{ volume }}
  {% endfor %}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: "{{ kernel_pod_name }}-notes"
data:
  note: {{ kernel_note }}
  {% if kernel_note == "benign" %}
  other: x
  {% endif %}
"""
BASE: Mapping[str, Any] = {"note": "n", "volumes": [], "volume_mounts": []}


def volume(**source: Any) -> dict[str, Any]:
    return {"volumes": [{"name": "v", **source}], "volume_mounts": [{"name": "v", "mountPath": "/v"}]}


SAYS_NOTHING_WHEN_EMPTY = ("namespace", "service account", "working directory")


def each(value: str) -> dict[str, dict[str, Any]]:
    """Return, by a name, what is asked for with a value in each place that can hold a text."""
    return {
        "any other name": {"note": value},
        "image": {"image": value},
        "namespace": {"namespace": value},
        "service account": {"service_account_name": value},
        "name of the pod": {"pod_name": value},
        "class name": {"class_name": value},
        "working directory": {"working_dir": value},
        "priority class": {"priority_class_name": value},
        "runtime class": {"runtime_class_name": value},
        "pull secret": {"image_pull_secrets": [value]},
        "pull policy": {"pull_policy": value},
        "cpus": {"cpus": value},
        "memory limit": {"memory_limit": value},
        "gpus": {"gpus": value},
        "shared memory": {"shm_size": value},
        "resource": {"resources": {"acme.org/x": value}},
        "name of a resource": {"resources": {value: 1}},
        "uid": {"uid": value},
        "gid": {"gid": value},
        "group of files": {"fs_group": value},
        "deadline": {"active_deadline": value},
        "node selector": {"node_selector": {"a": value}},
        "name in a node selector": {"node_selector": {value: "a"}},
        "toleration": {"tolerations": [{"key": value}]},
        "tolerations": {"tolerations": value},
        "affinity": {"affinity": {"nodeAffinity": {"x": value}}},
        "label": {"labels": {"a": value}},
        "name of a label": {"labels": {value: "a"}},
        "annotation": {"annotations": {"a": value}},
        "name of an annotation": {"annotations": {value: "a"}},
        "name of a volume": {**volume(emptyDir={}), "volumes": [{"name": value, "emptyDir": {}}], "volume_mounts": []},
        "claim of a volume": volume(persistentVolumeClaim={"claimName": value}),
        "type of a volume": volume(**{value: {}}) if value != "name" else {},
        "path of a mount": {
            **volume(emptyDir={}),
            "volume_mounts": [{"name": "v", "mountPath": "/v", "subPath": value}],
        },
        "volumes": {"volumes": value},
    }


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Return the objects of a launch, or None where it is refused."""
    folder: Path = tmp_path_factory.mktemp("spec")
    spec = write_spec(folder, template=TEMPLATE)
    settings = RemoteKernelSettings(
        mirror_working_dirs=True, shared_namespace=False, allowed_namespaces=["*"], allowed_service_accounts=["*"]
    )

    def make(values: Mapping[str, Any], **request: Any) -> list[Any] | None:
        try:
            asked = request_of(
                spec, {"namespace": "team", **BASE, **values}, settings=settings, **{"user": "ada", **request}
            )
            placement = place(spec, asked.parameters, settings, HostAccount("team"))
            manifests = make_manifests(asked, placement, settings)
        except RemoteKernelError:
            return None
        found = [manifests.pod.document, *(other.document for other in manifests.owned("uid"))]
        json.dumps(found).encode()
        return found

    return make


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, (dict, list)):
        yield path, type(value).__name__
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    else:
        yield path, value


MADE = {("metadata", "name"), ("metadata", "labels"), ("metadata", "ownerReferences")}
"""Where names are made from values: those have tests of their own (test_names.py)."""


def check_same_but_for(value: str, benign: list[Any], hostile: list[Any]) -> None:
    """Check that two launches differ only where the benign value stands, and there by the hostile one as data."""
    found = dict(leaves(hostile))
    # In a map of the client's own, a value can be a name.
    expected = {tuple(value if step == BENIGN else step for step in path): leaf for path, leaf in leaves(benign)}
    assert found.keys() == expected.keys()
    for path, leaf in expected.items():
        if found[path] == leaf:
            continue
        if path[1:3] in MADE or path[-2:] == ("secret", "secretName") or path[-1] == "remote-kernel-provider/kernel":
            assert isinstance(found[path], str)
            continue
        assert BENIGN in leaf, path
        in_json = json.dumps(value)[1:-1]
        expanded = [text.replace("$", "$$") for text in (value, in_json)]
        assert found[path] in [leaf.replace(BENIGN, text) for text in (value, in_json, *expanded)], path
        if path[3:4] in (("command",), ("args",)) or (path[-1] == "value" and "env" in path):
            # Each `$` is doubled, so that the cluster sees what was meant.
            assert found[path] in [leaf.replace(BENIGN, text) for text in expanded], path


@pytest.mark.parametrize("place", sorted(each("")))
def test_through_every_parameter(objects, place):
    values = each(BENIGN)[place]
    benign = objects(values)
    accepted = 0
    for value in HOSTILE:
        hostile = objects(each(value)[place])
        if hostile is None or (not value and place in SAYS_NOTHING_WHEN_EMPTY):
            continue
        accepted += 1
        if benign is not None:
            check_same_but_for(value, benign, hostile)
    if place in ("any other name", "image", "working directory", "annotation", "claim of a volume"):
        assert accepted > 50  # what is any text is any text


@pytest.mark.parametrize("where", ["user", "kernel_id", "generation", "working_dir"])
def test_through_every_name(objects, where):
    benign = objects({}, **{where: BENIGN})
    for value in HOSTILE:
        hostile = objects({}, **{where: value})
        if hostile is not None and value:
            check_same_but_for(value, benign, hostile)
        assert hostile is not None or value in ("a\0b", "\ud800", "", "x" * 100_000) or where == "user"


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: ascii(value)[:20])
def test_through_the_environment(objects, value):
    benign = objects({}, environment={"A": BENIGN})
    hostile = objects({}, environment={"A": value})
    if value in ("a\0b", "\ud800"):
        assert hostile is None
        return
    check_same_but_for(value, benign, hostile)


def test_no_value_chooses_a_branch_it_does_not_name(objects):
    assert "other" in objects({"note": "benign"})[1]["data"]
    assert "other" not in objects({"note": "benign\n"})[1]["data"]


def test_a_profile_a_schema_and_an_id_are_told_apart(objects):
    # The same kernel, once more: another generation is another pod with other names and nothing else.
    first, second = objects({}, generation="1"), objects({}, generation="2")
    assert first[0]["metadata"]["name"] != second[0]["metadata"]["name"]
    assert first[0]["metadata"]["labels"]["kernel_id"] == KERNEL_ID
    check_same_but_for("2", first, second)
