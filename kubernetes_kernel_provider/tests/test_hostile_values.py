"""Hostile values through every parameter and name: no object differs from the benign one but in that one value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hostile_values import BENIGN, HOSTILE, NOTES, POD, check_same_but_for, places
from pod_launches import KERNEL_ID, request_of, write_spec

from kubernetes_kernel_provider.manifests import HostAccount, make_manifests, place
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import RemoteKernelError

CONTENT = """\
    plain: {{ kernel_note }}
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
"""
CHOSEN = """\
  {% if kernel_note == "benign" %}
  other: x
  {% endif %}
"""
BASE: Mapping[str, Any] = {"note": "n", "volumes": [], "volume_mounts": []}


SAYS_NOTHING_WHEN_EMPTY = ("namespace", "service_account_name", "working_dir")


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Return the objects of a launch, or None where it is refused."""
    folder: Path = tmp_path_factory.mktemp("spec")
    spec = write_spec(folder, template=f"{POD}{CONTENT}{NOTES}{CHOSEN}")
    settings = RemoteKernelSettings(
        mirror_working_dirs=True, shared_namespace=False, allowed_namespaces=["*"], allowed_service_accounts=["*"]
    )

    def make(values: Mapping[str, Any], **request: Any) -> list[Any] | None:
        try:
            asked = request_of(
                spec, {"namespace": "team", **BASE, **values}, settings=settings, **{"user": "ada", **request}
            )
            placement = place(asked, settings, HostAccount("team"))
            manifests = make_manifests(asked, placement, settings)
        except RemoteKernelError:
            return None
        found = [manifests.pod.document, *(other.document for other in manifests.owned("uid"))]
        json.dumps(found).encode()
        return found

    return make


@pytest.mark.parametrize("place", sorted(places("")))
def test_through_every_parameter(objects, place):
    values = places(BENIGN)[place]
    benign = objects(values)
    accepted = 0
    for value in HOSTILE:
        asked = places(value).get(place)
        hostile = objects(asked) if asked is not None else None
        if hostile is None or (not value and place in SAYS_NOTHING_WHEN_EMPTY):
            continue
        accepted += 1
        if benign is not None:
            check_same_but_for(value, benign, hostile)
    if place in ("any other name", "image", "working_dir", "annotations, value", "volumes, claim", "affinity, value"):
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
