"""Starting and stopping the cluster's programs, so that nothing of them is left."""

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from containment import end_shims

from cluster.building import Built, run
from cluster.cleaning import mounts_under, remove_rules, remove_traces, succeeds
from cluster.configuration import (
    ADDRESS,
    API_SERVICE,
    BRIDGE,
    ETCD,
    ETCD_PEER,
    NODE,
    PODS,
    PORT,
    SERVICES,
    Folders,
    write_configuration,
)
from cluster.errors import ClusterError
from cluster.images import PAUSE_IMAGE

ORDER = ("containerd", "etcd", "apiserver", "manager", "scheduler", "kubelet", "proxy", "coredns")
POLITE = 5.0
"""Seconds that a program has to end."""
TOOLS = ("containerd", "ctr", "runc", "iptables", "ip", "conntrack", "openssl", "sysctl", "/usr/lib/cni/bridge")


class Cluster:
    """One cluster per machine, in a folder.

    Parameters
    ----------
    built
        What it runs.
    root
        Its folder; gone when it is stopped.
    """

    def __init__(self, built: Built, root: Path) -> None:
        self._built = built
        self._folders = Folders(root)

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self._folders.kubeconfig("admin")

    def kubectl(self, *words: str, check: bool = True) -> str:
        """Run kubectl as the administrator and return what it printed."""
        try:
            return run(str(self._built.binary), "kubectl", "--kubeconfig", str(self.kubeconfig), *words)
        except ClusterError:
            if check:
                raise
            return ""

    def answers(self) -> bool:
        """Whether it runs."""
        with contextlib.suppress(OSError):
            (user,) = json.loads(self.kubeconfig.read_text())["users"]
            asked = urllib.request.Request(
                f"https://{ADDRESS}:{PORT}/readyz", headers={"Authorization": f"Bearer {user['user']['token']}"}
            )
            trusted = ssl.create_default_context(cafile=str(self._folders.keys / "ca.crt"))
            handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted)
            with urllib.request.build_opener(*handlers).open(asked, timeout=POLITE) as answer:
                return bool(answer.read() == b"ok")
        return False

    def up(self) -> None:
        """Start it, and return when a pod can be created.

        Raises
        ------
        ClusterError
            Says what is missing; nothing runs then.
        """
        _check_machine()
        self.down()
        try:
            self._start_all()
        except BaseException:  # an interruption included: nothing of a half cluster stays
            logs = self._log_tails()
            self.down()
            print(logs)
            raise

    def _start_all(self) -> None:
        folders = self._folders
        folders.make()
        write_configuration(folders)
        run("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
        run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        for way in ("--in-interface", "--out-interface"):  # Docker makes DROP the rule
            run("iptables", "-w", "-I", "FORWARD", way, BRIDGE, "--jump", "ACCEPT")
        commands = _commands(str(self._built.binary), folders)
        for name in ("containerd", "etcd", "apiserver"):
            self._start(name, commands[name])
        _wait(30, "containerd", lambda: succeeds("ctr", "-a", str(folders.socket), "version"))
        for archive in self._built.archives:
            self.load(archive)
        _wait(90, "the API server", self.answers)
        # Before the garbage collector, which learns of new kinds only every half minute.
        self.kubectl("create", "--validate=false", "-f", f"{folders.root}/widgets.json")
        for name in ORDER[3:]:
            self._start(name, commands[name])
        _wait(90, "the node", lambda: bool(self.kubectl(*_reached("Ready", f"node/{NODE}"), check=False)))
        _wait(60, "the default service account", lambda: bool(self.kubectl("get", "sa", "default", check=False)))
        # The scheduler is ready when it has placed a pod, and says so nowhere.
        self.kubectl("run", "first", f"--image={PAUSE_IMAGE}", "--restart=Never")
        _wait(60, "the scheduler", lambda: bool(self.kubectl(*_reached("PodScheduled", "pod/first"), check=False)))
        self.kubectl("delete", "pod", "first", "--grace-period=1", "--wait=false")

    def recover(self) -> None:
        """Undo what a test did to it, and return when pods run again.

        Raises
        ------
        ClusterError
            When it stays broken.
        """
        self._revive()
        _wait(60, "the API server", self.answers)
        self.kubectl("patch", "node", NODE, "--patch", '{"spec": {"taints": null, "unschedulable": null}}')
        self.kubectl("delete", "pod", "recovered", "--ignore-not-found", "--grace-period=1", "--wait=true")
        self.kubectl("run", "recovered", f"--image={PAUSE_IMAGE}", "--restart=Never")
        _wait(60, "a pod", self._runs_pods)
        self.kubectl("delete", "pod", "recovered", "--grace-period=1", "--wait=false")

    def _runs_pods(self) -> bool:
        # A scheduler that sees its cache at odds with an API server that was killed ends itself, to be started again.
        self._revive()
        return bool(self.kubectl(*_reached("Ready", "pod/recovered"), check=False))

    def _revive(self) -> None:
        for name in ORDER:
            if not self._pid(name):
                self.start(name)

    def load(self, archive: Path) -> None:
        """Make the images of an archive available to the pods."""
        self._ctr("images", "import", str(archive))

    def has(self, image: str) -> bool:
        """Whether an image of Docker's is available to the pods."""
        return bool(self._ctr("images", "ls", "--quiet", f"name==docker.io/{image}").strip())

    def _ctr(self, *words: str) -> str:
        return run("ctr", "-a", str(self._folders.socket), "-n", "k8s.io", *words)

    def start(self, name: str) -> None:
        """Start one program again."""
        self._start(name, _commands(str(self._built.binary), self._folders)[name])

    def compact(self, revision: int) -> None:
        """Let etcd forget all that was before a revision, which is a resourceVersion."""
        body = json.dumps({"revision": str(revision), "physical": True}).encode()
        request = urllib.request.Request(f"{ETCD}/v3/kv/compaction", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=POLITE).close()

    def _start(self, name: str, command: list[str]) -> None:
        with (self._folders.root / "logs" / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # The kubelet asks a cloud's metadata server, where there is none; memory is cheaper than collecting it.
                env={**os.environ, "AWS_EC2_METADATA_DISABLED": "true", "GOGC": "400"},
            )
        (self._folders.root / "pids" / name).write_text(str(process.pid))

    def stop(self, name: str, signum: int = signal.SIGTERM) -> None:
        """End one program and wait for its end; by force after some seconds, as an API server waits for its clients."""
        pid = self._pid(name)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
                if not _within(POLITE, lambda: _has_ended(pid)):
                    os.kill(pid, signal.SIGKILL)
            _wait(10, f"the end of {name}", lambda: _has_ended(pid))
        (self._folders.root / "pids" / name).unlink(missing_ok=True)

    def _pid(self, name: str) -> int:
        """Return the process id of a program; 0 where it does not run."""
        with contextlib.suppress(OSError):
            pid = int((self._folders.root / "pids" / name).read_text())
            # It may be another's by now.
            if str(self._folders.root).encode() in Path(f"/proc/{pid}/cmdline").read_bytes() and not _has_ended(pid):
                return pid
        return 0

    def down(self) -> None:
        """Stop it and remove everything that it left; idempotent."""
        if not self._folders.root.exists():
            return
        if self.answers():
            self.kubectl("delete", "pods", "--all", "-A", "--grace-period=1", "--timeout=20s", check=False)
        for name in reversed(ORDER):
            self.stop(name)
        end_shims(self._folders.socket)
        for mount in mounts_under(self._folders.root):
            run("umount", "-l", mount)
        remove_rules()
        succeeds("ip", "link", "del", BRIDGE)
        succeeds("ip", "address", "del", f"{ADDRESS}/32", "dev", "lo")
        remove_traces(self._folders.root)
        shutil.rmtree(self._folders.root)

    def _log_tails(self) -> str:
        logs = sorted((self._folders.root / "logs").glob("*.log"))
        return "\n".join(f"--- {log.stem}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)


def _reached(condition: str, item: str) -> tuple[str, ...]:
    return ("wait", f"--for=condition={condition}", item, "--timeout=5s")


def _commands(binary: str, folders: Folders) -> dict[str, list[str]]:
    root, keys = folders.root, folders.keys
    lonely = ["--leader-elect=false", "--bind-address=127.0.0.1", f"--cert-dir={keys}", "--v=1"]
    return {
        "containerd": ["containerd", "--config", f"{root}/containerd.toml"],
        "etcd": [
            binary, "etcd", "--name=test", f"--data-dir={root}/etcd", "--log-level=warn", "--unsafe-no-fsync",
            f"--listen-client-urls={ETCD}", f"--advertise-client-urls={ETCD}", f"--listen-peer-urls={ETCD_PEER}",
            f"--initial-advertise-peer-urls={ETCD_PEER}", f"--initial-cluster=test={ETCD_PEER}",
        ],
        "apiserver": [
            binary, "kube-apiserver", f"--etcd-servers={ETCD}", f"--bind-address={ADDRESS}",
            f"--advertise-address={ADDRESS}", f"--secure-port={PORT}", f"--tls-cert-file={keys}/apiserver.crt",
            f"--tls-private-key-file={keys}/apiserver.key", f"--client-ca-file={keys}/ca.crt",
            f"--token-auth-file={root}/tokens.csv", "--anonymous-auth=false", "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction", f"--service-account-key-file={keys}/accounts.pub",
            f"--service-account-signing-key-file={keys}/accounts.key",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-cluster-ip-range={SERVICES}",
            f"--kubelet-client-certificate={keys}/kubelet-client.crt",
            f"--kubelet-client-key={keys}/kubelet-client.key", "--kubelet-preferred-address-types=InternalIP",
            "--allow-privileged=true", "--profiling=false", "--v=1",
        ],
        "manager": [
            binary, "kube-controller-manager", f"--kubeconfig={folders.kubeconfig('manager')}", *lonely,
            "--use-service-account-credentials=true", f"--service-account-private-key-file={keys}/accounts.key",
            f"--root-ca-file={keys}/ca.crt", f"--cluster-signing-cert-file={keys}/ca.crt",
            f"--cluster-signing-key-file={keys}/ca.key", "--allocate-node-cidrs=false", f"--cluster-cidr={PODS}",
        ],
        "scheduler": [binary, "kube-scheduler", f"--kubeconfig={folders.kubeconfig('scheduler')}", *lonely],
        "kubelet": [
            binary, "kubelet", f"--config={root}/kubelet.yaml", f"--kubeconfig={folders.kubeconfig('kubelet')}",
            f"--hostname-override={NODE}", f"--node-ip={ADDRESS}", f"--root-dir={root}/kubelet",
            f"--cert-dir={keys}/kubelet", "--v=2",
        ],
        "proxy": [binary, "kube-proxy", f"--config={root}/proxy.yaml", "--v=1"],
        "coredns": [binary, "coredns", "-conf", f"{root}/Corefile"],
    }  # fmt: skip


def _check_machine() -> None:
    if os.geteuid() != 0:
        raise ClusterError("the cluster needs root, for networks and control groups")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise ClusterError(f"not installed: {', '.join(missing)}; see docs/contributors/cluster.md")
    # There is one set of its chains per machine, and stopping ours would remove it.
    if succeeds("iptables", "-t", "nat", "-S", "KUBE-SERVICES") and API_SERVICE not in run("iptables-save"):
        raise ClusterError("another Kubernetes programs this machine's iptables; set TEST_KUBECONFIG to test on it")


def _wait(seconds: float, what: str, condition: Callable[[], bool]) -> None:
    if not _within(seconds, condition):
        raise ClusterError(f"{what} did not come within {seconds:g} s")


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _has_ended(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
