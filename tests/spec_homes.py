"""A home with a kernel spec of each kind, and providers that are installed for it alone."""

import json
import sys
from pathlib import Path

LOGO = b"\x89PNG a logo"


TINY = [sys.executable, "-m", "remote_kernel_provider.testing.tiny_kernel", "-f", "{connection_file}"]


SCHEMA = {"type": "object", "properties": {"memory": {"type": "string"}}}


POINTS = """
[jupyter_kernel_mgmt.kernel_type_providers]
broken = site_of_tests:Broken
missing = no_such_module:Provider
elsewhere = jupyter_kernel_mgmt.discovery:IPykernelProvider
"""


SITE = """
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.auth import IdentityProvider, User
from remote_kernel_provider.provider import RemoteKernelProvider

class Broken(RemoteKernelProvider):
    id = "broken"
    kernel_file = "broken_kernel.json"

    def specs(self):
        raise OSError("its registry is down")

class ByHeader(IdentityProvider):
    token = ""

    def get_user(self, handler):
        return User(handler.request.headers.get("X-User", "nobody"))

class Shouting(KernelSpecManager):
    def get_kernel_spec(self, kernel_name):
        spec = super().get_kernel_spec(kernel_name)
        spec.display_name = spec.display_name.upper()
        return spec
"""


PEERS = {
    "process_proxy": {"class_name": "enterprise_gateway.services.processproxies.k8s.KubernetesProcessProxy"},
    "kernel_provisioner": {"provisioner_name": "kubernetes-provisioner", "config": {"image_name": "acme/python"}},
}


def provisioner(kernel: str) -> dict[str, object]:
    return {"provisioner_name": "remote-kernel-provisioner", "config": {"kernel": kernel}}


class Specs:
    """A home, its kernel specs, and providers that are installed for it alone."""

    def __init__(self, home, serve) -> None:
        self.home = home
        self._serve = serve
        self.site = home.root / "site"
        facts = self.site / "site_of_tests-1.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: site-of-tests\nVersion: 1\n")
        (facts / "entry_points.txt").write_text(POINTS)
        (self.site / "site_of_tests.py").write_text(SITE)

    def write(self, name: str, file: str = "kernel.json", *, logo: bool = False, **fields: object) -> Path:
        folder = self.home.specs / name
        folder.mkdir(parents=True, exist_ok=True)
        document = {"display_name": name, "language": "python", "argv": TINY, **fields}
        (folder / file).write_text(json.dumps(document))
        if logo:
            (folder / "logo-64x64.png").write_bytes(LOGO)
        return folder

    def serve(self, *options: str, **settings: object):
        """Start a server with settings of the operator's."""
        text = "".join(f"c.RemoteKernelSettings.{name} = {value!r}\n" for name, value in settings.items())
        (self.home.root / "config/jupyter_server_config.py").write_text(text)
        return self._serve(self.home, "jupyter-server", *options, PYTHONPATH=str(self.site))


def specs_of_each_kind(home, serve) -> Specs:
    """Give a home a few specs of each kind: ordinary ones, ours, of peers, of nobody, and a bad one."""
    specs = Specs(home, serve)
    specs.write("plain", logo=True)
    specs.write("only", "local_kernel.json", logo=True, metadata={"parameters": SCHEMA, "color": "red"})
    specs.home.add_spec("both", TINY, display_name="Both")
    specs.write("clash", display_name="An ordinary one")
    specs.write("clash", "local_kernel.json", logo=True, display_name="Ours")
    specs.write("Mixed.Case", "local_kernel.json")
    specs.write("pod", "k8skp_kernel.json", interrupt_mode="message")
    specs.write("twin", "k8skp_kernel.json")
    specs.write("twin", "local_kernel.json")
    specs.write("eg_python_kubernetes", logo=True, metadata={"process_proxy": PEERS["process_proxy"]})
    specs.write("gp_python_kubernetes", metadata={"kernel_provisioner": PEERS["kernel_provisioner"]})
    specs.write("nobodys", metadata={"kernel_provisioner": {"provisioner_name": "yarn-provisioner"}})
    specs.write("bad", "local_kernel.json", argv="not a list")
    return specs
