"""The kernel spec manager of the server extension, over what is configured; no server is started."""

import pytest
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from spec_homes import PEERS, Specs, provisioner, specs_of_each_kind

pytest.importorskip("jupyter_server", reason="Jupyter Server is not installed")

from remote_kernel_provider.jupyter.server.extension import compose
from remote_kernel_provider.jupyter.server.listing import RemoteSpecs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def specs(make_home, serve) -> Specs:
    return specs_of_each_kind(make_home("specs"), serve)


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
