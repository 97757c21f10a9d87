"""Hostile values before a real API server, and in a real kernel: each arrives as it is, and nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster.fixtures import ClusterUnderTest, Namespace
from hostile_values import BENIGN, HOSTILE, NOTES, POD, check_same_but_for, places
from kubernetes import client
from pod_launches import request_of, write_spec

from kubernetes_kernel_provider.manifests import HostAccount, make_manifests, place
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import RemoteKernelError
from remote_kernel_provider.parameters.launch_parameters import ClientRequest, Identity
from remote_kernel_provider.testing.client import Notebook
from remote_kernel_provider.testing.kernels import Kernels
from remote_kernel_provider.testing.waiting import run

pytestmark = pytest.mark.slow

NO_PROGRAMS = ("a\0b", "\ud800")
"""What neither a cluster nor a program can be given."""

SAMPLE = [
    "a\nhostNetwork: true", '"}, hostPID: {"', "{{ 7 * 7 }}", "$(KERNEL_ID)", "`id`", '{"a": 1}', "../../etc", "日本",
    "\u202e", "\t", "x" * 300, "0123",
]  # fmt: skip
OF_THE_REQUEST = ("uid", "creationTimestamp", "managedFields")

CONTENT = """\
spec:
  containers:
  - name: kernel
    args: ["{{ kernel_note }}"]
  - name: side
    image: {{ kernel_image }}
    imagePullPolicy: Always  # unless given, the cluster's own default depends on the image's name
    command: ["{{ kernel_note }}", {{ kernel_note }}]
    env:
    - name: NOTE
      value: "<{{ kernel_note }}>"
"""

Try = Callable[..., "list[dict[str, Any]] | None"]


@pytest.fixture
def tried(cluster: ClusterUnderTest, namespace: Namespace, tmp_path: Path) -> Try:
    """Have the cluster try a launch's objects; returns what it would have, or None where they are refused."""
    settings = RemoteKernelSettings(
        namespace=namespace.name, shared_namespace=False, allowed_namespaces=["*"], allowed_service_accounts=["*"]
    )
    spec = write_spec(tmp_path, template=f"{POD}{CONTENT}{NOTES}", config={"namespace": namespace.name})
    strict: dict[str, str] = {"dry_run": "All", "field_validation": "Strict"}

    def make(values: dict[str, Any], user: str = "ada") -> list[dict[str, Any]] | None:
        try:
            request = request_of(spec, {"note": "n", "pull_policy": "Always", **values}, settings=settings, user=user)
            manifests = make_manifests(request, place(request, settings, HostAccount("none")), settings)
        except RemoteKernelError:
            return None
        try:
            made = [
                cluster.api.create_namespaced_pod(manifests.namespace, dict(manifests.pod.document), **strict),
                *(
                    cluster.api.create_namespaced_config_map(manifests.namespace, dict(other.document), **strict)
                    for other in manifests.others
                ),
            ]
        except client.ApiException as error:
            if error.status >= 500:
                raise
            return None
        found = [dict(cluster.api.api_client.sanitize_for_serialization(each)) for each in made]
        for each in found:
            each["metadata"] = {name: part for name, part in each["metadata"].items() if name not in OF_THE_REQUEST}
        return found

    return make


def test_as_text_the_cluster_has_exactly_it(tried: Try) -> None:
    benign = tried({"note": BENIGN})
    assert benign is not None
    for value in filter(None, HOSTILE):  # of an empty text the cluster keeps nothing
        hostile = tried({"note": value})
        assert (hostile is None) == (value in NO_PROGRAMS)
        if hostile is not None:
            check_same_but_for(value, benign, hostile)


def test_through_every_parameter_the_cluster_has_but_it(tried: Try) -> None:
    for name, asked in places(BENIGN).items():
        benign = tried(asked)
        for value in SAMPLE:
            hostile_asked = places(value).get(name)
            hostile = tried(hostile_asked) if hostile_asked is not None else None
            if benign is not None and hostile is not None:
                check_same_but_for(value, benign, hostile)


def test_every_user_gets_a_pod(tried: Try) -> None:
    benign = tried({}, user=BENIGN)
    assert benign is not None
    for value in HOSTILE:
        if value and value not in NO_PROGRAMS and len(value) < 1000:
            hostile = tried({}, user=value)
            assert hostile is not None, ascii(value)
            check_same_but_for(value, benign, hostile)


def test_a_kernel_sees_exactly_what_was_said(kernels: Kernels, in_namespace: Namespace) -> None:
    user = 'Ada "$(id)" {{ x }} 日本\n: - & ' + "x" * 300
    # A template of the gateway family could print them, so they are said in both ways.
    values = [value for value in HOSTILE if value not in NO_PROGRAMS]
    environment = {f"OWN_{number}": value for number, value in enumerate(values)}
    parameters = {f"said_{number}": value for number, value in enumerate(values)}
    spec, _ = kernels.provider.find("light")
    request = ClientRequest(
        "5e1f2a3b-0000-4000-8000-000000000001", Identity(user, "authenticated"), parameters, environment
    )
    manager = run(kernels.provider.start(spec, request), 60)
    look = (
        "import json, os\n"
        "told = {name: value for name, value in os.environ.items() if name.startswith(('OWN_', 'KERNEL_'))}\n"
        "open('/tmp/told', 'w').write(json.dumps(told))"
    )
    with Notebook(manager.connection) as notebook:
        assert notebook.run(look).error == ""
        told = json.loads(notebook.run("print(open('/tmp/told').read())").text)
    assert told["KERNEL_USERNAME"] == user
    for number, value in enumerate(values):
        assert told[f"OWN_{number}"] == value
        assert told[f"KERNEL_SAID_{number}"] == value
    (pod,) = in_namespace.api.list_namespaced_pod(in_namespace.name).items
    assert pod.metadata.labels["kernel_id"] == request.kernel_id
    assert [container.name for container in pod.spec.containers] == ["kernel"]
    assert not pod.spec.host_network
    assert not pod.spec.host_pid
    run(manager.shutdown())
    assert in_namespace.objects() == []
