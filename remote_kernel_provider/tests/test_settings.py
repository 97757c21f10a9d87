"""The operator's settings: files, environment, aliases, and what is wrong with them."""

import json

import pytest
from traitlets.config import Config

from remote_kernel_provider.configuration import (
    ENVIRONMENT_ALIASES,
    RemoteKernelSettings,
    environment_names,
    load_settings,
)
from remote_kernel_provider.errors import ConfigurationError
from remote_kernel_provider.kernelspecs.config_keys import BY_NAME


@pytest.fixture
def config_file(tmp_path):
    def write(text, ending="py"):
        folder = tmp_path / "config"
        folder.mkdir(exist_ok=True)
        file = folder / f"jupyter_remote_kernel_config.{ending}"
        file.write_text(text if isinstance(text, str) else json.dumps(text))
        return file

    return write


def test_defaults_without_file_and_environment():
    settings = load_settings(environment={})
    assert settings.launch_timeout == 30
    assert settings.transport_encryption == "auto"
    assert settings.prohibited_uids == [0]
    assert settings.unauthorized_users is None


@pytest.mark.parametrize(("cluster", "expected"), [("", "delete"), ("10.0.0.1", "keep")])
def test_kernels_of_a_stopped_server_are_kept_in_a_cluster_by_default(monkeypatch, cluster, expected):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", cluster)
    assert load_settings(environment={}).on_server_stop == expected
    for said in ("keep", "delete"):
        assert load_settings(environment={"RKP_ON_SERVER_STOP": said}).on_server_stop == said


def test_later_wins(config_file):
    config_file("c.RemoteKernelSettings.launch_timeout = 1\nc.RemoteKernelSettings.wait_timeout = 2")
    config_file({"RemoteKernelSettings": {"log_tail": 3, "wait_timeout": 4}}, "json")
    settings = load_settings(environment={})
    assert (settings.launch_timeout, settings.wait_timeout, settings.log_tail) == (1, 4, 3)
    environment = {"RKP_LAUNCH_TIMEOUT": "5"}
    assert load_settings(environment=environment).launch_timeout == 5
    application = Config({"RemoteKernelSettings": {"launch_timeout": 6}})
    assert load_settings(application, environment).launch_timeout == 6


@pytest.mark.parametrize(
    ("name", "text", "setting", "expected"),
    [
        ("RKP_LAUNCH_TIMEOUT", "7.5", "launch_timeout", 7.5),
        ("RKP_SWEEP", "False", "sweep", False),
        ("RKP_RESPONSE_PORT", "8877", "response_port", 8877),
        ("RKP_AUTHORIZED_USERS", "ann, bob", "authorized_users", ["ann", "bob"]),
        ("RKP_AUTHORIZED_USERS", "['ann','bob']", "authorized_users", ["ann", "bob"]),
        ("RKP_PROHIBITED_UIDS", "0,5", "prohibited_uids", [0, 5]),
        ("RKP_MAXIMA", '{"memory": "2Gi"}', "maxima", {"memory": "2Gi"}),
        ("RKP_TRANSPORT_ENCRYPTION", "required", "transport_encryption", "required"),
        ("RKP_PORT_RANGE", "33000..34000", "port_range", "33000..34000"),
        ("EG_KERNEL_LAUNCH_TIMEOUT", "8", "launch_timeout", 8),
        ("GP_PORT_RANGE", "40000..41000", "port_range", "40000..41000"),
        ("EG_UNAUTHORIZED_USERS", "root,eve", "unauthorized_users", ["root", "eve"]),
        ("EG_PROHIBITED_UIDS", "0,1", "prohibited_uids", [0, 1]),
        ("EG_RESPONSE_IP", "10.0.0.1", "response_ip", "10.0.0.1"),
        ("GP_SHARED_NAMESPACE", "False", "shared_namespace", False),
        ("EG_NAMESPACE", "kernels", "namespace", "kernels"),
        ("EG_MIRROR_WORKING_DIRS", "True", "mirror_working_dirs", True),
    ],
)
def test_the_environment(name, text, setting, expected):
    assert getattr(load_settings(environment={name: text}), setting) == expected


def test_our_name_beats_an_alias_and_the_first_alias_the_second():
    environment = {"EG_PORT_RANGE": "3000..3001", "GP_PORT_RANGE": "2000..2001"}
    assert load_settings(environment=environment).port_range == "2000..2001"
    environment["RKP_PORT_RANGE"] = "4000..4001"
    assert load_settings(environment=environment).port_range == "4000..4001"


def test_an_empty_variable_says_nothing():
    assert load_settings(environment={"RKP_LAUNCH_TIMEOUT": ""}).launch_timeout == 30


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"RKP_LAUNCH_TIMEOUT": "soon"}, "RKP_LAUNCH_TIMEOUT='soon' cannot be read"),
        ({"RKP_LAUNCH_TIMEOUT": "-1"}, "launch_timeout must be a positive number of seconds"),
        ({"EG_PROHIBITED_UIDS": "0,root"}, "EG_PROHIBITED_UIDS='0,root' cannot be read"),
        ({"RKP_MAXIMA": "{"}, "RKP_MAXIMA='{' cannot be read"),
        ({"RKP_MAXIMA": "[1]"}, "a setting is wrong"),
        ({"RKP_PORT_RANGE": "5"}, "port_range must be lower..upper"),
        ({"RKP_TRANSPORT_ENCRYPTION": "maybe"}, "a setting is wrong"),
        ({"RKP_SWEEP": "perhaps"}, "RKP_SWEEP='perhaps' cannot be read"),
        ({"RKP_PROFILES": '{"local/x": {"y": {"memory": "1"}}}'}, "profile 'y' of 'local/x' may have"),
        ({"RKP_PROFILES": '{"local/x": {"y": 5}}'}, "profile 'y' of 'local/x' may have"),
    ],
)
def test_bad_values(environment, said):
    with pytest.raises(ConfigurationError) as error:
        load_settings(environment=environment)
    assert said in str(error.value)


def test_an_unknown_setting_names_the_nearest(config_file):
    config_file("c.RemoteKernelSettings.launch_timout = 1")
    with pytest.raises(ConfigurationError, match=r"no setting 'launch_timout'; did you mean 'launch_timeout'\?"):
        load_settings(environment={})


@pytest.mark.parametrize(
    ("text", "ending"), [("this is not python", "py"), ("1/0", "py"), ("{", "json"), ("[1]", "json")]
)
def test_a_file_that_cannot_be_read(config_file, text, ending):
    file = config_file(text, ending)
    with pytest.raises(ConfigurationError, match="cannot be read") as error:
        load_settings(environment={})
    assert str(file) in str(error.value)


def test_a_section_that_is_none(config_file):
    config_file({"RemoteKernelSettings": "x"}, "json")
    with pytest.raises(ConfigurationError):
        load_settings(environment={})


def test_every_setting_says_its_default_and_has_an_environment_name():
    for name, trait in RemoteKernelSettings.class_traits(config=True).items():
        assert "Default:" in trait.help, name
        assert environment_names(name)[0] == f"RKP_{name.upper()}"


def test_every_alias_is_one_of_a_setting_or_a_key():
    # The installers' defaults are keys of specs.
    assert set(ENVIRONMENT_ALIASES) <= {*RemoteKernelSettings.class_traits(config=True), *BY_NAME}
