"""What a stock server lists with the server extension: which kernels, to whom, by which names."""

import json
import shutil
import urllib.error
import urllib.request

import pytest
from spec_homes import LOGO, SCHEMA, Specs, provisioner, specs_of_each_kind

pytest.importorskip("jupyter_server", reason="Jupyter Server is not installed")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def specs(make_home, serve) -> Specs:
    return specs_of_each_kind(make_home("listing"), serve)


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
