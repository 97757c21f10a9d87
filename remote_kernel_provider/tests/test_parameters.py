"""Merging what everybody says into the parameters of a launch; the operator's policy."""

import json

import pytest

from remote_kernel_provider.errors import ConfigurationError, ParameterError, RefusedError, SpecError, UnauthorizedError
from remote_kernel_provider.host import Host
from remote_kernel_provider.local.provider import LocalKernelProvider
from remote_kernel_provider.parameters.environment import (
    inherited_environment,
    passed_by_client,
    split_parameters,
    with_references,
)
from remote_kernel_provider.parameters.launch_parameters import ClientRequest, Identity
from remote_kernel_provider.parameters.resolve import resolve_parameters
from remote_kernel_provider.parameters.schema import schema_with_defaults
from remote_kernel_provider.provider import _request_of

ANN = Identity("ann", "authenticated")
ZEROS = [
    "0",
    0,
    "00",
    " 0",
    "0 ",
    "+0",
    "-0",
    "0x0",
    "0.0",
    0.0,
    False,
    "\u0966",
    "\u0660",
    "0e0",
    "0\n",
    "0_0",
    [0],
    {"a": 0},
]
NO_IDS = [True, -1, "-1", "root", "", 1.5, "1 000", "1e3", 2**32]


@pytest.fixture
def resolve(make_spec, make_settings):
    """Resolve the values of one client, for a spec and settings."""

    def resolve(values=None, *, spec=None, settings=None, identity=ANN, **request):
        spec = make_spec(lifecycle_manager="kubernetes", **(spec or {}))
        request = ClientRequest("some-id", identity, values or {}, **request)
        return resolve_parameters("k8skp", spec, request, make_settings(**(settings or {})))

    return resolve


def schema(**properties):
    return {"metadata": {"launch_parameter_schema": {"type": "object", "properties": properties}}}


class TestMerging:
    def test_later_wins(self, resolve):
        settings = {
            "launch_timeout": 10.0,
            "profiles": {"k8skp/python": {"slow": {"parameters": {"launch_timeout": 30, "memory": "3Gi"}}}},
        }
        spec = {"config": {"launch_timeout": 20.0}}
        assert resolve(settings=settings).config["launch_timeout"] == 10
        assert resolve(settings=settings, spec=spec).config["launch_timeout"] == 20
        by_profile = resolve(settings=settings, spec=spec, profile="slow")
        assert by_profile.config["launch_timeout"] == 30
        by_client = resolve({"launch_timeout": "40"}, settings=settings, spec=spec, profile="slow")
        assert by_client.config["launch_timeout"] == 40
        assert by_client.config["memory"] == "3Gi"

    def test_schema_defaults_beat_the_spec_and_lose_to_the_profile(self, resolve):
        settings = {"profiles": {"k8skp/python": {"big": {"parameters": {"memory": "3Gi"}}}}}
        spec = {**schema(memory={"type": "string", "default": "2Gi"}), "config": {"memory": "1Gi"}}
        assert resolve(spec=spec).config["memory"] == "2Gi"
        assert resolve(spec=spec, settings=settings, profile="big").config["memory"] == "3Gi"
        assert resolve({"memory": "4Gi"}, spec=spec, settings=settings, profile="big").config["memory"] == "4Gi"

    def test_an_unknown_profile_names_the_known(self, resolve):
        settings = {"profiles": {"k8skp/python": {"big": {}, "small": {}}}}
        with pytest.raises(ParameterError, match="has no profile 'huge'; it has big, small"):
            resolve(settings=settings, profile="huge")

    def test_a_profile_that_sets_no_parameter(self, resolve):
        settings = {"profiles": {"k8skp/python": {"big": {"parameters": {"image_name": "x"}}}}}
        with pytest.raises(ConfigurationError, match=r"profile 'big' of 'k8skp/python' sets 'image_name'"):
            resolve(settings=settings, profile="big")

    def test_the_kernel_is_told_everything(self, resolve):
        resolved = resolve(
            {"memory": "1Gi", "launch_timeout": 7, "colour": "red", "count": 3, "list": [1, "a"], "flag": True},
            environment={"PLAIN": "1"},
            working_dir="/tmp",
        )
        expected = {
            "KERNEL_ID": "some-id",
            "KERNEL_USERNAME": "ann",
            "KERNEL_LANGUAGE": "python",
            "KERNEL_NAME": "k8skp/python",
            "KERNEL_MEMORY": "1Gi",
            "KERNEL_LAUNCH_TIMEOUT": "7",
            "KERNEL_COLOUR": "red",
            "KERNEL_COUNT": "3",
            "KERNEL_LIST": '[1, "a"]',
            "KERNEL_FLAG": "true",
            "PLAIN": "1",
        }
        assert {name: resolved.environment.get(name) for name in expected} == expected
        assert resolved.working_dir == "/tmp"

    def test_a_client_cannot_say_who_it_is(self, resolve):
        values = {"id": "x", "username": "root", "language": "R", "name": "y"}
        for spelled in (values, {name.upper(): value for name, value in values.items()}):
            environment = resolve(spelled).environment
            assert environment["KERNEL_USERNAME"] == "ann"
            assert environment["KERNEL_ID"] == "some-id"
            assert environment["KERNEL_NAME"] == "k8skp/python"
            assert environment["KERNEL_LANGUAGE"] == "python"

    def test_a_value_that_cannot_be_written_down(self, resolve):
        with pytest.raises(ParameterError, match="parameter 'thing' of kernel 'python'"):
            resolve({"thing": object()})

    def test_there_is_no_side_effect(self, resolve):
        values = {"memory": "1Gi", "more": [1]}
        before = json.dumps(values)
        resolve(values)
        assert json.dumps(values) == before


class TestTypes:
    """KERNEL_* arrives as text."""

    @pytest.mark.parametrize(
        ("name", "text", "key", "expected"),
        [
            ("launch_timeout", "7", "launch_timeout", 7.0),
            ("cpus", "0.5", "cpus", "0.5"),
            ("memory_limit", "1.5Gi", "memory_limit", "1.5Gi"),
            ("working_dir", "/a b", "working_dir", "/a b"),
        ],
    )
    def test_each_gets_its_type(self, resolve, name, text, key, expected):
        values, _ = split_parameters({f"KERNEL_{name.upper()}": text})
        assert resolve(values).config[key] == expected

    @pytest.mark.parametrize(
        ("name", "value"), [("launch_timeout", "soon"), ("memory", "much"), ("cpus", "-1"), ("launch_timeout", "0")]
    )
    def test_a_wrong_type_names_the_parameter(self, resolve, name, value):
        with pytest.raises(ParameterError, match=f"parameter '{name}' of kernel 'python' is '{value}'; expected"):
            resolve({name: value})

    def test_a_parameter_without_effect_here(self, make_spec, make_settings):
        request = ClientRequest("id", ANN, {"memory": "1Gi"})
        with pytest.raises(ParameterError, match=r"'memory' has no effect on kernel 'python', which runs on 'local'"):
            resolve_parameters("local", make_spec(), request, make_settings())


class TestSchema:
    SPEC = schema(
        memory={"type": "string", "default": "1Gi", "pattern": "^[1-4]Gi$"},
        shards={"type": "integer", "minimum": 1, "default": 2},
        colour={"enum": ["red", "green"]},
        deep={"type": "object", "properties": {"a": {"type": "integer"}}},
    )

    def test_defaults_reach_config_and_environment(self, resolve):
        resolved = resolve(spec=self.SPEC)
        assert resolved.config["memory"] == "1Gi"
        assert resolved.environment["KERNEL_SHARDS"] == "2"
        assert "KERNEL_COLOUR" not in resolved.environment

    def test_texts_take_the_declared_type(self, resolve):
        assert resolve({"shards": "5", "deep": '{"a": 1}'}, spec=self.SPEC).environment["KERNEL_SHARDS"] == "5"

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"memory": "9Gi"}, "parameter 'memory': '9Gi' does not match"),
            ({"shards": 0}, "parameter 'shards': 0 is less than the minimum of 1"),
            ({"shards": "many"}, "parameter 'shards': 'many' is not of type 'integer'"),
            ({"shards": True}, "parameter 'shards': True is not of type 'integer'"),
            ({"colour": "blue"}, "parameter 'colour': 'blue' is not one of"),
            ({"deep": {"a": "x"}}, "parameter 'deep.a': 'x' is not of type"),
            ({"memory": "x" * 5000}, "parameter 'memory': 'xxx"),
        ],
    )
    def test_violations(self, resolve, values, said):
        with pytest.raises(ParameterError) as error:
            resolve(values, spec=self.SPEC)
        assert str(error.value).startswith("kernel 'python': ")
        assert said in str(error.value)
        assert len(str(error.value)) < 500

    def test_additional_properties(self, resolve):
        document = {"type": "object", "properties": {"shards": {}}, "additionalProperties": False}
        spec = {"metadata": {"launch_parameter_schema": document}}
        with pytest.raises(ParameterError, match="Additional properties are not allowed"):
            resolve({"other": 1}, spec=spec)

    @pytest.mark.parametrize(
        "document",
        [
            {"type": "no such type"},
            {"properties": {"a": {"minimum": "x"}}},
            {"properties": {"a": {"$ref": "#/nowhere"}}},
            {"properties": {"a": {"$ref": "http://127.0.0.1:1/schema.json"}}},
        ],
    )
    def test_a_broken_schema_is_the_specs_fault(self, resolve, document):
        spec = {"metadata": {"launch_parameter_schema": document}}
        with pytest.raises(SpecError, match="launch_parameter_schema"):
            resolve({"a": 1}, spec=spec)


class TestForms:
    """What a form needs: its fields' defaults, and which field is at fault."""

    @pytest.mark.parametrize(
        ("values", "said", "parameter"),
        [
            ({"memory": "lots"}, {}, "memory"),
            ({"CPUS": "many"}, {}, "cpus"),
            ({"image": "x"}, {}, "image"),
            ({"memory": 3}, {"spec": schema(memory={"type": "string"})}, "memory"),
            ({"memory": "9Gi"}, {"settings": {"maxima": {"memory": "8Gi"}}}, "memory"),
            ({"cpus": 3}, {"settings": {"allowed_values": {"cpus": ["1", "2"]}}}, "cpus"),
            ({"uid": 0}, {"settings": {"client_parameters": ["uid"]}}, "uid"),
            ({"a": [float("nan")]}, {}, "a"),
        ],
    )
    def test_a_fault_names_its_parameter(self, resolve, values, said, parameter):
        with pytest.raises(ParameterError) as fault:
            resolve(values, **said)
        assert fault.value.parameter == parameter

    def test_a_missing_value_is_its_parameters_fault(self, resolve):
        spec = schema(memory={"type": "string"})
        spec["metadata"]["launch_parameter_schema"]["required"] = ["memory"]
        with pytest.raises(ParameterError) as fault:
            resolve(spec=spec)
        assert fault.value.parameter == "memory"

    def test_defaults_are_the_profiles_then_the_schemas_then_the_specs(self, make_spec):
        properties = {name: {"type": "number", "default": 1} for name in ("cpus", "gpus")}
        spec = make_spec(
            lifecycle_manager="kubernetes",
            config={"cpus": "4", "gpus": "2", "memory": "4Gi", "launch_timeout": 44.0},
            **schema(**properties, memory={"type": "string"}, launch_timeout={"type": "number"}, note={}, odd=True),
        )
        shown = schema_with_defaults(spec, {"cpus": "3"})
        defaults = {name: rule.get("default") for name, rule in shown["properties"].items() if name != "odd"}
        assert defaults == {"cpus": 3, "gpus": 1, "memory": "4Gi", "launch_timeout": 44.0, "note": None}
        assert shown["properties"]["odd"] is True
        assert schema_with_defaults(make_spec(lifecycle_manager="kubernetes"), {}) is None

    def test_limits_are_what_a_launch_gets(self, resolve):
        assert resolve({"cpus": 2}, spec={"config": {"memory": "4Gi"}}).limits == {"cpus": "2", "memory": "4Gi"}


class TestPermission:
    FREE = ("cpus", "memory", "gpus", "cpus_limit", "memory_limit", "gpus_limit", "launch_timeout", "working_dir")
    BOUND = (
        ("image", "x"), ("uid", 5), ("gid", 5), ("namespace", "x"), ("service_account_name", "x"), ("volumes", "[]"),
        ("pod_name", "x"), ("class_name", "a.B"), ("extra_spark_opts", "x"), ("spark_context_init_mode", "lazy"),
    )  # fmt: skip

    @pytest.mark.parametrize("name", FREE)
    def test_what_a_client_may_set_without_a_schema(self, resolve, name):
        value = "/tmp" if name == "working_dir" else "5"
        assert str(resolve({name: value}).config[name]).rstrip(".0") == value

    @pytest.mark.parametrize(("name", "value"), BOUND)
    def test_what_it_may_not(self, resolve, name, value):
        with pytest.raises(RefusedError, match=f"parameter '{name}' of kernel 'python' is not yours to set"):
            resolve({name: value})

    @pytest.mark.parametrize(("name", "value"), BOUND)
    def test_the_operator_or_the_schema_allows_it(self, resolve, name, value):
        resolve({name: value}, settings={"client_parameters": [name]})
        resolve({name: value}, spec=schema(**{name: {}}))

    @pytest.mark.parametrize(
        ("name", "setting"),
        [("namespace", "allowed_namespaces"), ("service_account_name", "allowed_service_accounts")],
    )
    def test_the_operator_allows_it_by_listing_values(self, resolve, name, setting):
        assert resolve({name: "team"}, settings={setting: ["team"]}).config[name] == "team"

    def test_a_schema_takes_back_what_is_free(self, resolve):
        with pytest.raises(RefusedError, match="'memory'"):
            resolve({"memory": "1Gi"}, spec=schema(shards={}))

    @pytest.mark.parametrize(
        "name", ["prohibited_uids", "prohibited_gids", "authorized_users", "handshake", "port_range", "image_name"]
    )
    def test_the_operators_keys_are_plain_data_from_a_client(self, resolve, name):
        plain, asked = resolve(), resolve({name: "x"})
        assert asked.config == plain.config
        assert asked.environment[f"KERNEL_{name.upper()}"] == "x"

    @pytest.mark.parametrize("name", ["UID", "Uid", "u\u0131d"])
    def test_no_spelling_of_a_name_slips_past(self, resolve, name):
        # Whatever an environment name becomes, templates and launchers read it.
        try:
            environment = resolve({name: "0"}).environment
        except RefusedError:
            return
        assert "KERNEL_UID" not in environment


class TestIds:
    ALLOWED = {"client_parameters": ["uid", "gid"]}

    @pytest.mark.parametrize("name", ["uid", "gid"])
    @pytest.mark.parametrize("value", ZEROS, ids=repr)
    def test_a_prohibited_id_however_it_is_spelled(self, resolve, name, value):
        for spec in (
            {},
            schema(**{name: {}}),
            schema(**{name: {"type": "integer"}}),
            schema(**{name: {"type": "string"}}),
        ):
            with pytest.raises(ParameterError, match=name):
                resolve({name: value}, spec=spec, settings=self.ALLOWED)

    @pytest.mark.parametrize("value", NO_IDS, ids=repr)
    def test_what_is_no_id(self, resolve, value):
        with pytest.raises(ParameterError, match="uid"):
            resolve({"uid": value}, settings=self.ALLOWED)

    @pytest.mark.parametrize("value", [1000, "1000"])
    def test_another_id(self, resolve, value):
        resolved = resolve({"uid": value}, settings=self.ALLOWED)
        assert resolved.config["uid"] == 1000
        assert resolved.environment["KERNEL_UID"] == "1000"

    def test_ids_of_spec_and_profile_are_checked_too(self, resolve):
        settings = {"profiles": {"k8skp/python": {"zero": {"parameters": {"uid": 0}}}}}
        with pytest.raises(RefusedError, match=r"uid 0 is refused: it is one of prohibited_uids"):
            resolve(settings=settings, profile="zero")
        with pytest.raises(RefusedError, match="uid 0"):
            resolve(spec={"config": {"uid": 0}})
        with pytest.raises(RefusedError, match="uid 0"):
            resolve(spec=schema(uid={"default": 0}))

    def test_the_spec_adds_to_what_the_operator_prohibits(self, resolve):
        spec = {"config": {"prohibited_uids": (5,)}}
        for value in (0, 5):
            with pytest.raises(RefusedError):
                resolve({"uid": value}, spec=spec, settings=self.ALLOWED)
        assert resolve({"uid": 6}, spec=spec, settings=self.ALLOWED).config["uid"] == 6

    def test_the_operators_list_may_be_empty(self, resolve):
        assert resolve({"uid": 0}, settings={**self.ALLOWED, "prohibited_uids": []}).config["uid"] == 0


class TestUsers:
    @pytest.mark.parametrize(
        ("user", "source", "settings", "config", "allowed"),
        [
            ("ann", "claimed", {}, {}, True),
            ("root", "claimed", {}, {}, False),
            ("root", "system", {}, {}, True),
            ("root", "authenticated", {}, {}, True),
            ("root", "system", {"unauthorized_users": ["root"]}, {}, False),
            ("root", "claimed", {"unauthorized_users": []}, {}, True),
            ("ann", "claimed", {"unauthorized_users": ["bob"]}, {}, True),
            ("bob", "authenticated", {"unauthorized_users": ["bob"]}, {}, False),
            ("bob", "system", {}, {"unauthorized_users": ("bob",)}, False),
            ("ann", "claimed", {"authorized_users": ["ann"]}, {}, True),
            ("bob", "claimed", {"authorized_users": ["ann"]}, {}, False),
            ("ann", "claimed", {"authorized_users": ["ann"], "unauthorized_users": ["ann"]}, {}, False),
            ("ann", "claimed", {"authorized_users": ["ann"]}, {"authorized_users": ("bob",)}, False),
            ("Ann", "claimed", {"authorized_users": ["ann"]}, {}, False),
            ("", "claimed", {"authorized_users": ["ann"]}, {}, False),
        ],
    )
    def test_who_may(self, resolve, user, source, settings, config, allowed):
        def launch():
            return resolve(identity=Identity(user, source), settings=settings, spec={"config": config})

        if allowed:
            assert launch().identity.user == user
        else:
            with pytest.raises(UnauthorizedError, match=f"user '{user}' may not launch kernel 'python'"):
                launch()

    def test_who_may_not_is_refused_before_anything_else_is_said(self, resolve):
        with pytest.raises(UnauthorizedError):
            resolve({"uid": "x", "memory": "x"}, identity=Identity("root", "claimed"), profile="none")


class TestKernels:
    SETTINGS = {
        "allowed_kernels": ["local/*", "k8skp/python"],
        "allowed_kernels_by_user": {"ada": ["*"], "eve": []},
        "profiles": {"k8skp/python": {"48g": {}}},
    }

    @pytest.mark.parametrize(
        ("user", "profile", "said"),
        [
            ("ann", "", None),
            ("ann", "48g", "'k8skp/python.48g' is refused to user 'ann': allowed_kernels allows local/*, k8skp"),
            ("ada", "48g", None),
            ("eve", "", "'k8skp/python' is refused to user 'eve': allowed_kernels_by_user allows none;"),
        ],
    )
    def test_who_may_have_which(self, resolve, user, profile, said):
        asking = {"settings": self.SETTINGS, "identity": Identity(user, "authenticated"), "profile": profile}
        if said is None:
            assert resolve(**asking).kernel_name == "k8skp/python"
            return
        with pytest.raises(RefusedError) as refused:
            resolve(**asking)
        assert said in str(refused.value)

    def test_what_is_not_allowed_is_not_listed(self, write_spec, make_settings):
        for name in ("mine", "other"):
            write_spec({"argv": ["x"]}, name)
        host = Host(make_settings(allowed_kernels=["local/mine*"], profiles={"local/mine": {"big": {}}}))
        assert {name for name, _ in LocalKernelProvider(host).find_kernels()} == {"mine", "mine.big"}


class TestPolicy:
    @pytest.mark.parametrize(
        ("maxima", "values", "allowed"),
        [
            ({"memory": "2Gi"}, {"memory": "2048Mi"}, True),
            ({"memory": "2Gi"}, {"memory": "2049Mi"}, False),
            ({"memory": "2Gi"}, {"memory": "3e9"}, False),
            ({"cpus": 2}, {"cpus": "2000m"}, True),
            ({"cpus": 2}, {"cpus": "2001m"}, False),
            ({"launch_timeout": 60}, {"launch_timeout": "60"}, True),
            ({"launch_timeout": 60}, {"launch_timeout": "61"}, False),
        ],
    )
    def test_maxima(self, resolve, maxima, values, allowed):
        if allowed:
            resolve(values, settings={"maxima": maxima})
        else:
            with pytest.raises(RefusedError, match="is refused: the operator's maximum is"):
                resolve(values, settings={"maxima": maxima})

    def test_a_maximum_binds_the_spec_too(self, resolve):
        with pytest.raises(RefusedError, match=r"memory 3Gi is refused"):
            resolve(spec={"config": {"memory": "3Gi"}}, settings={"maxima": {"memory": "2Gi"}})

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"maxima": {"memry": "2Gi"}}, "maxima names the unknown parameter 'memry'; did you mean 'memory'?"),
            ({"maxima": {"memory": "much"}}, "the setting maxima has memory='much'; expected quantity"),
            ({"maxima": {"class_name": 5}}, "the setting maxima has class_name=5"),
            ({"maxima": {"class_name": "x"}}, "the setting maxima has class_name='x'"),
            ({"allowed_values": {"imag": ["x"]}}, "allowed_values names the unknown parameter 'imag'"),
        ],
    )
    def test_a_policy_that_is_wrong(self, resolve, settings, said):
        spec = {"config": {"memory": "1Gi", "class_name": "a.B"}}
        with pytest.raises(ConfigurationError) as error:
            resolve(spec=spec, settings=settings)
        assert said in str(error.value)

    @pytest.mark.parametrize("name", ["image", "image_name"])
    @pytest.mark.parametrize(
        ("image", "allowed"),
        [("quay.io/acme/a:1", True), ("quay.io/evil/a", False), ("QUAY.IO/acme/a", False), ("x quay.io/acme/a", False)],
    )
    def test_allowed_values(self, resolve, name, image, allowed):
        settings = {"allowed_values": {name: ["quay.io/acme/*", "local/x"]}, "client_parameters": ["image"]}
        if allowed:
            assert resolve({"image": image}, settings=settings).config["image_name"] == image
        else:
            with pytest.raises(RefusedError, match="the operator allows quay"):
                resolve({"image": image}, settings=settings)

    def test_nobody_is_asked_for_a_value_that_is_not_set(self, resolve):
        resolve(settings={"allowed_values": {"image": ["x"]}, "maxima": {"memory": "1Gi"}})


class TestEncryption:
    @pytest.mark.parametrize(
        ("operator", "spec", "face", "expected"),
        [
            ("auto", None, "", "auto"),
            ("auto", None, "disabled", "disabled"),
            ("auto", "required", "disabled", "required"),
            ("auto", "disabled", "auto", "disabled"),
            ("required", "disabled", "disabled", "required"),
            ("disabled", "required", "auto", "disabled"),
        ],
    )
    def test_the_operator_beats_the_spec_and_the_spec_the_face(self, resolve, operator, spec, face, expected):
        config = {"transport_encryption": spec} if spec else {}
        resolved = resolve(spec={"config": config}, settings={"transport_encryption": operator}, encryption=face)
        assert resolved.encryption == expected

    @pytest.mark.parametrize(("operator", "spec"), [("disabled", "auto"), ("auto", "disabled")])
    def test_what_a_client_requires_is_never_silently_left_out(self, resolve, operator, spec):
        with pytest.raises(RefusedError, match="'required' cannot be had"):
            resolve(
                spec={"config": {"transport_encryption": spec}},
                settings={"transport_encryption": operator},
                encryption="required",
            )

    def test_a_face_that_asks_for_something_unknown(self, resolve):
        with pytest.raises(ParameterError, match=r"'requird'; expected auto, required or disabled"):
            resolve(encryption="requird")


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
