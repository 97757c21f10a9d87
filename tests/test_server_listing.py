"""The server extension's frame and its listing: which kernels a stock server offers, to whom, by which names."""

import json
import shutil
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("jupyter_server", reason="Jupyter Server is not installed")

import jupyter_server
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets.config import Config

from remote_kernel_provider.jupyter.server import extension
from remote_kernel_provider.jupyter.server.extension import compose
from remote_kernel_provider.jupyter.server.listing import RemoteSpecs

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


@pytest.fixture(scope="module")
def specs(make_home, serve) -> Specs:
    specs = Specs(make_home("listing"), serve)
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


PROFILES = {
    "local/both": {"48g": {"display_name": "Both, 48 GB", "parameters": {"launch_timeout": 48}}},
    "local/plain": {"patient": {}},
    "local/only": {"a b": {}},
}


@pytest.fixture(scope="module")
def server(specs):
    """A server with a few kernels of each kind, and profiles."""
    return specs.serve(profiles=PROFILES)


@pytest.fixture
def listed(server) -> dict[str, dict]:
    return server.get("api/kernelspecs")["kernelspecs"]


pytestmark = pytest.mark.slow


class TestNames:
    def test_all_are_listed_once(self, listed):
        assert sorted(set(listed) - {"python3"}) == [
            "both",
            "both.48g",
            "clash",
            "eg_python_kubernetes",
            "gp_python_kubernetes",
            "local.clash",
            "local.twin",
            "mixed.case",
            "only",
            "plain",
            "plain.patient",
            "pod",
            "twin",
        ]
        kernels = [model["spec"]["metadata"].get("kernel_provisioner") for model in listed.values()]
        named = [stanza["config"]["kernel"] for stanza in kernels if stanza]
        assert len(named) == len(set(named))

    def test_ordinary_kernels_are_as_stock_lists_them(self, listed, specs):
        told = specs.home.python(
            "import json; from jupyter_client.kernelspec import KernelSpecManager\n"
            "print(json.dumps(KernelSpecManager().get_all_specs()))"
        ).stdout
        stock = json.loads(told)
        for name in ("python3", "plain", "clash"):
            assert listed[name]["spec"] == stock[name]["spec"]

    @pytest.mark.parametrize(
        ("name", "kernel", "display_name"),
        [
            ("only", "local/only", "only"),
            ("local.clash", "local/clash", "Ours"),
            ("twin", "k8skp/twin", "twin"),
            ("local.twin", "local/twin", "twin"),
            ("both.48g", "local/both.48g", "Both, 48 GB"),
            ("plain.patient", "local/plain.patient", "plain (patient)"),
            ("mixed.case", "local/Mixed.Case", "Mixed.Case"),
            ("eg_python_kubernetes", "k8skp/eg_python_kubernetes", "eg_python_kubernetes"),
            ("gp_python_kubernetes", "k8skp/gp_python_kubernetes", "gp_python_kubernetes"),
        ],
    )
    def test_ours_lead_to_our_provisioner(self, server, listed, name, kernel, display_name):
        model = listed[name]
        assert model == server.get(f"api/kernelspecs/{name}")
        spec = model["spec"]
        assert (spec["display_name"], spec["metadata"]["kernel_provisioner"]) == (display_name, provisioner(kernel))
        assert spec["argv"][1:] == [
            *("-m", "remote_kernel_provider.jupyter.bridge", "--kernel", kernel, "-f", "{connection_file}")
        ]
        assert not {"process_proxy", "lifecycle_manager"} & set(spec["metadata"])

    def test_fields_are_the_providers(self, listed):
        assert listed["pod"]["spec"]["interrupt_mode"] == "message"
        metadata = listed["only"]["spec"]["metadata"]
        assert metadata["color"] == "red"
        assert metadata["parameters"] == metadata["launch_parameter_schema"] == SCHEMA

    def test_a_name_with_its_provider_always_works(self, server):
        assert server.get("api/kernelspecs/local.only")["spec"]["metadata"]["kernel_provisioner"] == provisioner(
            "local/only"
        )

    def test_an_unknown_one_is_not_found(self, server):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            server.get("api/kernelspecs/nobody")


@pytest.mark.parametrize("name", ["plain", "only", "local.clash", "plain.patient", "eg_python_kubernetes"])
def test_logos(server, listed, name):
    url = listed[name]["resources"]["logo-64x64"]
    assert url == f"/kernelspecs/{name}/logo-64x64.png"
    assert server.request("GET", url.lstrip("/")) == LOGO


def test_what_goes_wrong_costs_one_line_each(server):
    for _ in range(3):
        server.get("api/kernelspecs")
    for text in (
        "'broken' cannot list its kernels: its registry is down",
        "'missing' (no_such_module:Provider) cannot be loaded",
        "'local/only.a b' is not listed: its name may hold",
        "bad/local_kernel.json: 'argv' must be a list of texts",
    ):
        assert len(server.log_lines(text)) == 1, text
    assert server.log_lines("'kubernetes-provisioner'") == []


def test_changes_are_seen_without_a_restart(server, specs):
    def names() -> set[str]:
        return set(server.get("api/kernelspecs")["kernelspecs"])

    folder = specs.write("fresh", "local_kernel.json")
    assert "fresh" in names()
    specs.write("fresh", "local_kernel.json", display_name="Another name")
    assert server.get("api/kernelspecs/fresh")["spec"]["display_name"] == "Another name"
    specs.write("fresh")  # an ordinary kernel takes the name
    assert {"fresh", "local.fresh"} <= names()
    shutil.rmtree(folder)
    assert not {"fresh", "local.fresh"} & names()


@pytest.mark.parametrize("name", ["only", "local.clash", "both", "both.48g", "plain.patient", "plain"])
def test_they_run(server, specs, name):
    kernel = json.loads(server.request("POST", "api/kernels", {"name": name}))
    assert kernel["name"] == name
    (process,) = [process for process in specs.home.kernel_processes() if "tiny_kernel" in process.cmdline()[2]] or [
        None
    ]
    if name == "plain":
        assert process is None  # stock code gives ordinary kernels no KERNEL_ID
    elif name == "both.48g":
        assert process.environ()["KERNEL_LAUNCH_TIMEOUT"] == "48"
    server.request("DELETE", f"api/kernels/{kernel['id']}")
    specs.home.assert_nothing_left()


@pytest.fixture(scope="module")
def server_of_users(specs):
    """A server that knows its users by a header, and allows them different kernels."""
    return specs.serve(
        "--ServerApp.identity_provider_class=site_of_tests.ByHeader",
        "--ServerApp.disable_check_xsrf=True",
        profiles=PROFILES,
        allowed_kernels=["local/o*", "k8skp/eg_*"],
        allowed_kernels_by_user={"ada": ["*"], "grace": ["local/both*"], "eve": []},
    )


class TestAllowed:
    @pytest.fixture
    def server(self, server_of_users):
        return server_of_users

    @staticmethod
    def request(server, user: str, method: str, path: str, body=None) -> dict:
        headers = {"X-User": user}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{server.url}/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read() or b"null")

    @pytest.mark.parametrize(
        ("user", "ours"),
        [
            ("somebody", {"only", "eg_python_kubernetes"}),
            ("grace", {"both", "both.48g"}),
            ("eve", set()),
        ],
    )
    def test_others_are_hidden(self, server, user, ours):
        listed = set(self.request(server, user, "GET", "api/kernelspecs")["kernelspecs"])
        assert listed == {"python3", "plain", "clash"} | ours

    def test_a_user_can_be_allowed_more(self, server):
        listed = set(self.request(server, "ada", "GET", "api/kernelspecs")["kernelspecs"])
        assert {"both", "both.48g", "pod", "only", "plain.patient", "local.clash"} <= listed

    @pytest.mark.parametrize(
        ("user", "name", "kernel", "said"),
        [
            ("somebody", "both", "local/both", "allowed_kernels allows local/o*, k8skp/eg_*;"),
            ("grace", "only", "local/only", "allowed_kernels_by_user allows local/both*;"),
            ("eve", "both.48g", "local/both.48g", "allowed_kernels_by_user allows none;"),
        ],
    )
    def test_others_are_refused(self, server, user, name, kernel, said):
        with pytest.raises(urllib.error.HTTPError) as refused:
            self.request(server, user, "POST", "api/kernels", {"name": name})
        assert refused.value.code == 403
        sentence = " ".join(json.loads(refused.value.read())["message"].split())
        assert sentence.startswith(f"kernel '{kernel}' is refused to user '{user}': {said}")

    def test_the_kernel_is_the_users(self, server, specs):
        kernel = self.request(server, "grace", "POST", "api/kernels", {"name": "both"})
        (process,) = {process.environ()["KERNEL_USERNAME"] for process in specs.home.kernel_processes()}
        assert process == "grace"
        self.request(server, "ada", "POST", f"api/kernels/{kernel['id']}/restart")
        (process,) = {process.environ()["KERNEL_USERNAME"] for process in specs.home.kernel_processes()}
        assert process == "grace"
        self.request(server, "grace", "DELETE", f"api/kernels/{kernel['id']}")
        specs.home.assert_nothing_left()


def test_it_stands_back_behind_a_gateway(specs, server):
    gateway = f"--GatewayClient.url={server.url}", f"--GatewayClient.auth_token={server.token}"
    client = specs.serve(*gateway)
    assert len(client.log_lines("the server extension of remote-kernel-provider stands back")) == 1
    assert client.log_lines("kernels of its providers are offered") == []
    assert client.log_lines("Traceback") == []
    assert client.get("api/kernelspecs") == server.get("api/kernelspecs")


def test_wrong_settings_leave_the_server_and_its_kernels(specs):
    server = specs.serve(launch_timeout="soon")
    listed = set(server.get("api/kernelspecs")["kernelspecs"])
    server.get("api/kernelspecs")
    assert {"python3", "plain", "both"} <= listed
    assert "only" not in listed
    assert len(server.log_lines("No kernels of remote-kernel-provider can be launched: a setting is wrong")) == 1


class TestPlaces:
    @pytest.fixture
    def link(self):
        """Link the extension to a server that is configured so."""

        def link(**settings: object) -> ServerApp:
            server = ServerApp(config=Config(ServerApp=settings))
            extension._link_jupyter_server_extension(server)
            return server

        yield link
        GatewayClient.clear_instance()

    def test_ours_subclass_the_default_classes(self, link):
        server = link()
        for row in extension.TABLE:
            assert issubclass(getattr(server, row.place), extension._ours(row.ours))
        assert issubclass(server.kernel_manager_class, AsyncMappingKernelManager)

    def test_ours_subclass_the_configured_classes(self, link):
        class Own(KernelSpecManager):
            pass

        class OwnMapping(AsyncMappingKernelManager):
            pass

        server = link(kernel_spec_manager_class=Own, kernel_manager_class=OwnMapping)
        assert server.kernel_spec_manager_class.__mro__[1:3] == (RemoteSpecs, Own)
        assert issubclass(server.kernel_manager_class, OwnMapping)
        again = link(kernel_spec_manager_class=server.kernel_spec_manager_class)
        assert again.kernel_spec_manager_class is server.kernel_spec_manager_class

    def test_a_class_that_ours_cannot_stand_on_stays(self, link, caplog):
        from jupyter_server.services.kernels.kernelmanager import MappingKernelManager

        server = link(kernel_manager_class=MappingKernelManager)
        assert server.kernel_manager_class is MappingKernelManager
        assert issubclass(server.kernel_spec_manager_class, RemoteSpecs)

    def test_an_old_server_is_left_alone(self, link, monkeypatch):
        monkeypatch.setattr(jupyter_server, "version_info", (2, 5, 9))
        server = link()
        assert not any(server.trait_has_value(row.place) for row in extension.TABLE)


class TestManager:
    """The class itself, over what is configured."""

    @pytest.fixture
    def make(self, specs, monkeypatch):
        for name, value in specs.home.variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.syspath_prepend(str(specs.site))

        def make(base: type = KernelSpecManager, **traits: object) -> KernelSpecManager:
            return compose(RemoteSpecs, base)(**traits)

        return make

    def test_folders_and_specs_agree(self, make, specs):
        manager = make()
        found = manager.find_kernel_specs()
        assert {name: entry["resource_dir"] for name, entry in manager.get_all_specs().items()} == {
            name: folder for name, folder in found.items() if name != "nobodys"
        }
        assert found["only"] == str(specs.home.specs / "only")

    def test_a_configured_class_keeps_its_say(self, make, monkeypatch):
        from importlib import import_module

        shouting = import_module("site_of_tests").Shouting
        manager = make(shouting)
        listed = manager.get_all_specs()
        assert listed["plain"]["spec"]["display_name"] == manager.get_kernel_spec("plain").display_name == "PLAIN"
        assert listed["both"]["spec"]["display_name"] == "BOTH"
        assert listed["only"]["spec"]["display_name"] == "only"
        assert set(listed) == set(make().get_all_specs())
        assert set(manager.find_kernel_specs()) == set(make().find_kernel_specs())

    def test_the_stock_allow_list_holds_for_all(self, make):
        manager = make(allowed_kernelspecs={"plain", "only", "local.clash"})
        assert set(manager.get_all_specs()) == set(manager.find_kernel_specs()) == {"plain", "only", "local.clash"}

    def test_a_peers_kernel_is_rerouted_before_the_first_listing(self, make):
        for name in ("eg_python_kubernetes", "gp_python_kubernetes"):
            assert make().get_kernel_spec(name).metadata["kernel_provisioner"] == provisioner(f"k8skp/{name}")

    def test_a_peers_kernel_is_left_to_its_own_provisioner(self, make, specs, tmp_path, monkeypatch):
        facts = tmp_path / "gateway_provisioners-1.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: gateway-provisioners\nVersion: 1\n")
        own = "jupyter_client.provisioning.local_provisioner:LocalProvisioner"
        (facts / "entry_points.txt").write_text(
            f"[jupyter_client.kernel_provisioners]\nkubernetes-provisioner = {own}\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        from jupyter_client.provisioning import KernelProvisionerFactory

        KernelProvisionerFactory.clear_instance()
        try:
            listed = make().get_all_specs()
            metadata = listed["gp_python_kubernetes"]["spec"]["metadata"]
            assert metadata["kernel_provisioner"] == PEERS["kernel_provisioner"]
            assert "k8skp.gp_python_kubernetes" not in listed
            assert listed["eg_python_kubernetes"]["spec"]["metadata"]["kernel_provisioner"] == provisioner(
                "k8skp/eg_python_kubernetes"
            )
        finally:
            KernelProvisionerFactory.clear_instance()

    def test_an_unknown_one(self, make):
        with pytest.raises(NoSuchKernel):
            make().get_kernel_spec("nobody")
