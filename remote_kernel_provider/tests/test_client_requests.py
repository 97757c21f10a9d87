"""What clients say, as it is read: by environment, and by `launch_params`."""

import pytest

from remote_kernel_provider.errors import ParameterError, UnauthorizedError
from remote_kernel_provider.host import Host
from remote_kernel_provider.jupyter.provisioner import RemoteKernelProvisioner
from remote_kernel_provider.local.provider import LocalKernelProvider
from remote_kernel_provider.parameters.environment import (
    inherited_environment,
    passed_by_client,
    split_parameters,
    with_references,
)
from remote_kernel_provider.parameters.launch_parameters import Identity
from remote_kernel_provider.provider import _request_of


class TestEnvironment:
    def test_jupyters_secrets_stay_on_the_host(self):
        secrets = {
            "JUPYTERHUB_API_TOKEN": "x", "JUPYTERHUB_X": "x", "JPY_API_TOKEN": "x", "JPY_PARENT_PID": "1",
            "JUPYTER_TOKEN": "x", "PYTHONEXECUTABLE": "x",
        }  # fmt: skip
        others = {"PATH": "/bin", "JUPYTER_PATH": "y", "MY_JPY_X": "z"}
        assert inherited_environment({**secrets, **others}) == others

    def test_references(self):
        entries = {"A": "$HOME/x", "B": "${HOME}y", "C": "$$5", "D": "$NOWHERE", "E": "100$"}
        expected = {"A": "/h/x", "B": "/hy", "C": "$5", "D": "$NOWHERE", "E": "100$"}
        assert with_references(entries, {"HOME": "/h"}) == expected

    def test_what_a_client_passed(self):
        own = {"PATH": "/bin", "HOME": "/h", "KERNEL_X": "server's"}
        assert passed_by_client({**own, "HOME": "/other", "NEW": "1"}, own) == {"HOME": "/other", "NEW": "1"}

    def test_parameters_are_split_off(self):
        values, environment = split_parameters({"KERNEL_MEMORY": "1Gi", "KERNEL_": "x", "kernel_a": "y", "A": "z"})
        assert values == {"memory": "1Gi"}
        assert environment == {"KERNEL_": "x", "kernel_a": "y", "A": "z"}


class TestStockClients:
    """The keyword arguments of a kernel manager's `start_kernel`, as they reach the provisioner."""

    def test_every_way_to_say_a_parameter(self):
        provisioner = RemoteKernelProvisioner(kernel_id="my-id", kernel_spec=None)
        params = {"memory": "1Gi", "KERNEL_CPUS": 2}
        request = provisioner._request({"env": {"KERNEL_GPUS": "1", "A": "1"}, "launch_params": params}, "")
        assert request.values == {"gpus": "1", "memory": "1Gi", "cpus": 2}
        assert request.environment == {"A": "1"}


class TestKernelMgmtClients:
    """`launch_params` of a client of jupyter_kernel_mgmt."""

    def test_every_way_to_say_a_parameter(self):
        request = _request_of(
            {"memory": "1Gi", "KERNEL_CPUS": 2, "env": {"KERNEL_GPUS": "1", "A": "1"}, "kernel_id": "my-id"},
            "/w",
            "big",
        )
        assert request.values == {"gpus": "1", "memory": "1Gi", "cpus": 2}
        assert request.environment == {"A": "1"}
        assert (request.kernel_id, request.working_dir, request.profile) == ("my-id", "/w", "big")
        assert request.encryption == "disabled"

    def test_encryption_where_it_is_asked(self):
        assert _request_of({"transport_encryption": "required"}, None, "").encryption == "required"

    def test_a_claimed_user(self):
        assert _request_of({"env": {"KERNEL_USERNAME": "root"}}, None, "").identity == Identity("root", "claimed")
        assert _request_of({"username": "root"}, None, "").identity == Identity("root", "claimed")
        assert _request_of({}, None, "").identity.source == "system"

    @pytest.mark.parametrize("env", [5, ["A=1"], {"A": 1}])
    def test_an_environment_that_is_none(self, env):
        with pytest.raises(ParameterError, match=r"launch_params\['env'\] must be an object of texts"):
            _request_of({"env": env}, None, "")

    async def test_a_refused_launch_leaves_no_trace(self, make_settings, write_spec, tmp_path):
        write_spec({"argv": ["x", "{connection_file}"]})
        provider = LocalKernelProvider(Host(make_settings()))
        with pytest.raises(UnauthorizedError):
            await provider.launch("good", launch_params={"username": "root"})
        assert not provider.host.has_launched
        assert not (tmp_path / "runtime").exists()
