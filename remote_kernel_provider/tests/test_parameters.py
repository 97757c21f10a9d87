"""Merging what everybody says into the parameters of a launch, and checking it against the schema."""

import json

import pytest
from asking import ANN, schema

from remote_kernel_provider.errors import ConfigurationError, ParameterError, RefusedError, SpecError
from remote_kernel_provider.parameters.environment import split_parameters
from remote_kernel_provider.parameters.launch_parameters import ClientRequest
from remote_kernel_provider.parameters.resolve import resolve_parameters
from remote_kernel_provider.parameters.schema import schema_with_defaults


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
        assert resolve({"deep": "{a: 1}"}, spec=self.SPEC).environment["KERNEL_DEEP"] == '{"a": 1}'

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
