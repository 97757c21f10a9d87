"""What we make of launches, before a real API server: it takes it, and its pod security says what ours says."""

import pytest
from cluster.fixtures import ClusterUnderTest, Namespace
from familys_template import FAMILY
from kubernetes import client
from pod_launches import FORBIDDEN, request_of, template_with, write_spec

from kubernetes_kernel_provider.manifests import HostAccount, connection_secret, make_manifests, place
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.errors import SpecError

pytestmark = pytest.mark.slow

EVERYTHING = {
    "memory": "1Gi", "memory_limit": "2Gi", "cpus": 1, "gpus": 1, "shm_size": "64Mi",
    "resources": {"amd.com/gpu": 1, "ephemeral-storage": "1Gi"},
    "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}],
    "volume_mounts": [{"name": "d", "mountPath": "/data", "subPath": "a b"}],
    "tolerations": [{"key": "a", "operator": "Exists"}], "node_selector": {"a": "b"},
    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "kubernetes.io/hostname"}]}},
    "active_deadline": 60, "labels": {"x": ""}, "annotations": {"acme.org/q": "${HOME} 日本 {{ x }}\n"},
    "pull_policy": "IfNotPresent", "image_pull_secrets": ["a"], "uid": 1234, "gid": 5, "fs_group": 6,
    "note": '"}, "hostPID": {"',
}  # fmt: skip
ALLOWED = [
    "C: {capabilities: {add: [NET_BIND_SERVICE]}}", "C: {seccompProfile: {type: Localhost, localhostProfile: x}}",
    "C: {seLinuxOptions: {type: container_t}}", "C: {procMount: Default}", "L: {httpGet: {host: '', port: 1}}",
    "volumes: [{name: v, csi: {driver: x}}]", "volumes: [{name: v, image: {reference: x}}]",
    "volumes: [{name: v, gitRepo: {repository: x}}]", "securityContext: {supplementalGroups: [7]}",
    "securityContext: {sysctls: [{name: net.ipv4.tcp_rmem, value: '1'}]}",
    "securityContext: {appArmorProfile: {type: RuntimeDefault}}",
]  # fmt: skip
"""Lines that one level or the other allows, at the border of what it forbids."""


@pytest.mark.parametrize("user", ["ada", "0123", "Ada Lovelace", "日本" * 150, "x" * 300])
@pytest.mark.parametrize(
    ("values", "template", "config"),
    [
        pytest.param({}, "", {}, id="default"),
        pytest.param(EVERYTHING, "", {}, id="everything"),
        pytest.param({"uid": "image"}, "", {}, id="the image's user"),
        pytest.param({}, "", {"connection_file": "copied"}, id="copied"),
        pytest.param({"memory": "1Gi", "cpus": "500m"}, FAMILY, {}, id="the gateway family's template"),
    ],
)
def test_the_restricted_level_takes_it(
    cluster: ClusterUnderTest, namespace: Namespace, tmp_path, user, values, template, config
):
    spec = write_spec(tmp_path, template=template, config=config)
    settings = RemoteKernelSettings(namespace=namespace.name)
    request = request_of(spec, values, settings=settings, user=user)
    placement = place(request, settings, HostAccount("none"))
    pod = make_manifests(request, placement, settings).pod.document
    strict = {"dry_run": "All", "field_validation": "Strict"}
    made = cluster.api.create_namespaced_pod(namespace.name, pod, **strict)
    assert made.metadata.name == pod["metadata"]["name"]
    secret = connection_secret(pod, "00000000-0000-0000-0000-000000000000", request.memory.connection, b"kept")
    cluster.api.create_namespaced_secret(namespace.name, secret, **strict)


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_our_floor_is_the_clusters(cluster: ClusterUnderTest, namespace: Namespace, tmp_path, level):
    label = {"pod-security.kubernetes.io/enforce": level}
    cluster.api.patch_namespace(namespace.name, {"metadata": {"labels": label}})
    settings = RemoteKernelSettings(namespace=namespace.name)
    differing = []
    for line in [*(line for line, _, _ in FORBIDDEN), *ALLOWED]:
        spec = write_spec(tmp_path, template=template_with(line))
        request = request_of(spec, settings=settings)
        placement = place(request, settings, HostAccount("none"))
        # Complete for the level but for this line, which only our check would refuse.
        settings.pod_security = level
        try:
            pod = make_manifests(request, placement, settings).pod.document
            ours = True
        except SpecError:
            settings.pod_security = "privileged"
            pod = make_manifests(request, placement, settings).pod.document
            pod["spec"]["securityContext"].setdefault("runAsNonRoot", True)
            ours = False
        try:
            cluster.api.create_namespaced_pod(namespace.name, pod, dry_run="All")
            theirs = True
        except client.ApiException:
            theirs = False
        if ours != theirs:
            differing.append(line)
    assert differing == []
