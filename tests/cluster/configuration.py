"""The files that the cluster's programs read: certificates, tokens, kubeconfigs, their own configuration.

All addresses are of this machine alone: the node is an alias of the loopback device, reachable from the pods' bridge
and from nowhere else.
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from containment import make_group

from cluster.building import run
from cluster.images import PAUSE_IMAGE

NODE = "node"
ADDRESS = "10.99.0.1"
"""Of the node, the API server and the cluster's DNS."""
PORT = 16443
BRIDGE = "rkpkube0"
PODS, GATEWAY = "10.244.0.0/24", "10.244.0.1"
"""Addresses of the pods, and the machine's own among them."""
SERVICES, API_SERVICE = "10.96.0.0/16", "10.96.0.1"
GROUP = "cluster.test"
"""Of the custom resource that the cluster has, `Widget`."""
CONTROL_GROUP = "rkpkube"
"""In which the kubelet has those of its pods."""
ETCD, ETCD_PEER = "http://127.0.0.1:23790", "http://127.0.0.1:23800"

TOKENS = {
    "admin": ("admin", "system:masters"),
    "manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
    "proxy": ("system:kube-proxy", ""),
}
"""Users of the programs and their groups."""


@dataclass(frozen=True)
class Folders:
    """Where a running cluster keeps things; all of it goes when it is stopped."""

    root: Path

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def socket(self) -> Path:
        """Containerd's."""
        return self.root / "containerd" / "containerd.sock"

    def kubeconfig(self, user: str) -> Path:
        return self.root / f"{user}.kubeconfig"

    def make(self) -> None:
        for name in ("keys", "containerd", "kubelet", "cni", "logs", "pids"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)


def write_configuration(folders: Folders) -> None:
    """Write everything that the programs read."""
    _write_certificates(folders.keys)
    _write_users(folders)
    documents = {
        "cni/10-cluster.conflist": _network(folders),
        "kubelet.yaml": _kubelet(folders),
        "proxy.yaml": _proxy(folders),
        "widgets.json": _widgets(),
    }
    for name, document in documents.items():
        (folders.root / name).write_text(json.dumps(document))  # YAML, too
    (folders.root / "containerd.toml").write_text(_containerd(folders))
    (folders.root / "Corefile").write_text(
        f".:53 {{\n bind {ADDRESS}\n errors\n cache 5\n kubernetes cluster.local {{\n"
        f"  kubeconfig {folders.kubeconfig('admin')}\n }}\n}}\n"
    )


def _write_certificates(keys: Path) -> None:
    def openssl(*words: str) -> None:
        run("openssl", *words, cwd=keys)

    def certificate(name: str, subject: str, extensions: str) -> None:
        (keys / f"{name}.ext").write_text(extensions)
        openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr"
        )
        openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "30", "-out", f"{name}.crt", "-extfile", f"{name}.ext",
        )  # fmt: skip

    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=test-cluster",
        "-keyout", "ca.key", "-out", "ca.crt",
    )  # fmt: skip
    service = "kubernetes.default.svc"
    names = ["kubernetes", "kubernetes.default", service, f"{service}.cluster.local", "localhost"]
    alternatives = [f"DNS:{name}" for name in names] + [f"IP:{ip}" for ip in (ADDRESS, "127.0.0.1", API_SERVICE)]
    certificate(
        "apiserver", "/CN=kube-apiserver", f"extendedKeyUsage=serverAuth\nsubjectAltName={','.join(alternatives)}\n"
    )
    certificate("kubelet-client", "/O=system:masters/CN=apiserver-kubelet-client", "extendedKeyUsage=clientAuth\n")
    openssl("genrsa", "-out", "accounts.key", "2048")
    openssl("rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")


def _write_users(folders: Folders) -> None:
    lines = []
    for name, (user, group) in TOKENS.items():
        token = secrets.token_hex(16)
        lines.append(f'{token},{user},{name},"{group}"' if group else f"{token},{user},{name}")
        cluster = {
            "server": f"https://{ADDRESS}:{PORT}",
            "certificate-authority": str(folders.keys / "ca.crt"),
        }
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name}}],
            "current-context": "test",
        }
        folders.kubeconfig(name).write_text(json.dumps(document, indent=1))
    (folders.root / "tokens.csv").write_text("\n".join(lines) + "\n")


def _network(folders: Folders) -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "isDefaultGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "dataDir": str(folders.root / "addresses"), "ranges": [[{"subnet": PODS}]]},
    }
    return {"cniVersion": "0.4.0", "name": "rkp-test", "plugins": [bridge]}


def _containerd(folders: Folders) -> str:
    home = folders.root / "containerd"
    unused = ", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in ("devmapper", "zfs", "btrfs", "aufs"))
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    # No CAP_SYS_RESOURCE in many a container: hence restrict_oom_score_adj.
    return f"""version = 2
root = "{home}/root"
state = "{home}/state"
disabled_plugins = [{unused}]
[grpc]
  address = "{folders.socket}"
[{cri}]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  restrict_oom_score_adj = true
[{cri}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{folders.root}/cni"
[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
[plugins."io.containerd.internal.v1.opt"]
  path = "{home}/opt"
"""


def _kubelet(folders: Folders) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "port": 10250,
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(folders.keys / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{folders.socket}",
        "imageServiceEndpoint": f"unix://{folders.socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": make_group(CONTROL_GROUP),
        "failCgroupV1": False,
        "failSwapOn": False,
        "resolvConf": "",
        "clusterDomain": "cluster.local",
        "clusterDNS": [ADDRESS],
        "volumePluginDir": str(folders.root / "kubelet-plugins"),
        "podLogsDir": str(folders.root / "pod-logs"),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "kubeAPIQPS": 50,
        "kubeAPIBurst": 100,
    }


def _proxy(folders: Folders) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(folders.kubeconfig("proxy"))},
        "mode": "iptables",
        "clusterCIDR": PODS,
        "hostnameOverride": NODE,
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": {"maxPerCore": 0},
    }


def _widgets() -> dict[str, Any]:
    spec = {"properties": {"size": {"type": "integer"}, "note": {"type": "string"}}, "type": "object"}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
