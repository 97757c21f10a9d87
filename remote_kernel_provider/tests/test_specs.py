"""Reading one spec file: what is accepted, and what the error of each mistake says."""

import json

import pytest

from remote_kernel_provider.errors import SpecError
from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS
from remote_kernel_provider.kernelspecs.peers import LIFECYCLE_ALIASES, find_stanza
from remote_kernel_provider.kernelspecs.reader import read_spec
from remote_kernel_provider.local.provider import LocalKernelProvider

ARGV = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]


def lifecycle(**config):
    return {"metadata": {"lifecycle_manager": {"class_name": "local", "config": config}}}


def test_a_whole_spec(write_spec):
    document = {
        "display_name": "Good Python",
        "language": "python",
        "argv": ARGV,
        "env": {"A": "1"},
        "interrupt_mode": "message",
        "metadata": {
            "debugger": True,
            "supported_encryption": ["curve"],
            "launch_parameter_schema": {"properties": {"cpus": {"type": "integer"}}},
            "lifecycle_manager": {
                "class_name": "remote_kernel_provider.LocalLifecycleManager",
                "config": {"launch_timeout": 7, "port_range": "33000..34000", "authorized_users": "ann, bob"},
            },
        },
    }
    file = write_spec(document)
    spec = read_spec(file, "local")
    assert (spec.name, spec.display_name, spec.language) == ("good", "Good Python", "python")
    assert (spec.argv, spec.env, spec.interrupt_mode) == (tuple(ARGV), {"A": "1"}, "message")
    assert spec.lifecycle_manager == "local"
    assert spec.config == {"launch_timeout": 7.0, "port_range": (33000, 34000), "authorized_users": ("ann", "bob")}
    assert spec.supports_curve
    assert spec.handshake == "assigned"
    assert spec.resource_dir == file.parent
    attributes = spec.attributes()
    assert attributes["metadata"]["parameters"] == attributes["metadata"]["launch_parameter_schema"]
    assert attributes["language_info"] == {"name": "python"}
    assert attributes["resource_dir"] == str(file.parent)
    json.dumps(attributes)


def test_the_least_spec(write_spec):
    spec = read_spec(write_spec({}, name="X.y-1_z"), "kubernetes")
    assert (spec.name, spec.display_name, spec.argv) == ("X.y-1_z", "X.y-1_z", ())
    assert (spec.lifecycle_manager, spec.interrupt_mode, spec.handshake) == ("kubernetes", "signal", "reported")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("\xff\xfe", "is not JSON"),
        ("[" * 200_000, "is not JSON"),
        ([], "must hold a JSON object"),
        ("null", "must hold a JSON object"),
        ({"argv": "python -m x"}, "'argv' must be a list of texts"),
        ({"argv": ["python", 1]}, "'argv' must be a list of texts"),
        ({"display_name": 5}, "'display_name' must be a text"),
        ({"language": None}, "'language' must be a text"),
        ({"env": ["A=1"]}, "'env' must be an object"),
        ({"env": {"A": 1}}, "'env' must be an object of texts"),
        ({"interrupt_mode": "mesage"}, "'interrupt_mode' must be signal or message"),
        ({"metadata": "none"}, "'metadata' must be an object"),
        ({"metadata": {"launch_parameter_schema": [1]}}, "metadata.launch_parameter_schema must be a JSON Schema"),
        ({"metadata": {"parameters": "x"}}, "must be a JSON Schema"),
        ({"metadata": {"lifecycle_manager": {"config": {}}}}, "metadata.lifecycle_manager needs a text 'class_name'"),
        ({"metadata": {"lifecycle_manager": "local"}}, "metadata.lifecycle_manager needs a text 'class_name'"),
        ({"metadata": {"lifecycle_manager": {"class_name": "local", "config": [1]}}}, "config must be an object"),
        (lifecycle(launch_timout=30), "unknown key 'launch_timout'; did you mean 'launch_timeout'?"),
        (lifecycle(zzz=30), "metadata.lifecycle_manager.config has the unknown key 'zzz'"),
        (lifecycle(launch_timeout="soon"), 'config.launch_timeout is "soon"; expected a number of seconds'),
        (lifecycle(launch_timeout=-1), "config.launch_timeout is -1; expected a positive number of seconds"),
        (lifecycle(port_range="9..1"), 'config.port_range is "9..1"; expected a range lower..upper'),
        (lifecycle(prohibited_uids=["root"]), "config.prohibited_uids"),
        (lifecycle(handshake="asigned"), "expected assigned or reported"),
    ],
)  # fmt: skip
def test_each_mistake_names_file_key_and_remedy(write_spec, document, said):
    file = write_spec(document)
    with pytest.raises(SpecError) as error:
        read_spec(file, "local")
    assert str(error.value).startswith(f"{file}: ")
    assert said in str(error.value)
    assert len(str(error.value)) < 700


def test_a_key_that_has_no_effect_on_the_backend_is_unknown_to_it(write_spec):
    file = write_spec(lifecycle(image_name="x"))
    with pytest.raises(SpecError, match="unknown key 'image_name'"):
        read_spec(file, "local", LocalKernelProvider.config_keys)
    assert read_spec(file, "local", CONFIG_KEYS).config == {"image_name": "x"}


@pytest.mark.parametrize("name", ["spaced name", "ümlaut", "semi;colon", "a$b"])
def test_bad_folder_names(write_spec, name):
    with pytest.raises(SpecError, match=r"may hold only letters, digits.*rename it"):
        read_spec(write_spec({}, name=name), "local")


def test_a_missing_file(tmp_path):
    with pytest.raises(SpecError, match="cannot be read: No such file"):
        read_spec(tmp_path / "x" / "local_kernel.json", "local")


def test_null_values_are_values_that_were_not_chosen(write_spec):
    assert read_spec(write_spec(lifecycle(launch_timeout=None)), "local").config == {}


@pytest.mark.parametrize("said", [None, 5, {}, {"curve": 1}, [], ["CURVE "], "curve", [7]])
def test_the_word_on_encryption_may_be_anything(write_spec, said):
    spec = read_spec(write_spec({"metadata": {"supported_encryption": said}}), "local")
    assert spec.supports_curve == (said in (["CURVE "], "curve"))


@pytest.mark.parametrize(
    ("metadata", "expected", "where"),
    [
        ({"lifecycle_manager": {"class_name": "local"}}, "local", "metadata.lifecycle_manager"),
        ({"lifecycle_manager": {"class_name": "acme.Manager"}}, "acme.Manager", "metadata.lifecycle_manager"),
        ({"kernel_provisioner": {"provisioner_name": "docker-provisioner"}}, "docker", "metadata.kernel_provisioner"),
        (
            {
                "process_proxy": {
                    "class_name": "enterprise_gateway.services.processproxies.k8s.KubernetesProcessProxy",
                    "config": {"image_name": "x"},
                }
            },
            "kubernetes",
            "metadata.process_proxy",
        ),
        (
            {"lifecycle_manager": {"class_name": "docker_kernel_provider.docker_swarm.DockerKernelLifecycleManager"}},
            "docker",
            "metadata.lifecycle_manager",
        ),
        # Ours is said first where a spec was made for several hosts.
        (
            {
                "process_proxy": {"class_name": "x"},
                "kernel_provisioner": {"provisioner_name": "y"},
                "lifecycle_manager": {"class_name": "local"},
            },
            "local",
            "metadata.lifecycle_manager",
        ),
    ],
)
def test_stanzas_of_ours_and_of_peers(metadata, expected, where):
    stanza = find_stanza(metadata)
    assert stanza is not None
    assert (stanza.lifecycle_manager, stanza.where) == (expected, where)


@pytest.mark.parametrize("metadata", [{}, {"process_proxy": None}, {"kernel_provisioner": {"config": {}}}])
def test_no_stanza(metadata):
    assert find_stanza(metadata) is None


def test_aliases_lead_to_entry_points():
    assert set(LIFECYCLE_ALIASES.values()) == {"local", "docker", "docker-swarm", "kubernetes", "spark-operator"}


def test_placeholders(make_spec):
    spec = make_spec(argv=("{resource_dir}/run", "--id={kernel_id}", "{unknown}", "{{x}}", "{", "{connection_file}"))
    command = spec.command({"kernel_id": "7", "connection_file": "/c {kernel_id}"})
    # A value is never looked at for placeholders again, and what is not known stays.
    assert command == [f"{spec.resource_dir}/run", "--id=7", "{unknown}", "{{x}}", "{", "/c {kernel_id}"]


@pytest.mark.parametrize(
    ("argv", "config", "expected"),
    [
        (("x", "{connection_file}"), {}, "assigned"),
        (("x", "--file={connection_file}"), {}, "assigned"),
        (("x", "{response_address}"), {}, "reported"),
        ((), {}, "reported"),
        ((), {"handshake": "assigned"}, "assigned"),
        (("x", "{connection_file}"), {"handshake": "reported"}, "reported"),
    ],
)
def test_the_handshake_is_the_specs_word_or_derived(make_spec, argv, config, expected):
    assert make_spec(argv=argv, config=config).handshake == expected
