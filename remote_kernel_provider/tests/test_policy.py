"""What the operator allows: who may launch what, and which values the merged result may have."""

import pytest
from asking import schema

from remote_kernel_provider.errors import ConfigurationError, ParameterError, RefusedError, UnauthorizedError
from remote_kernel_provider.host import Host
from remote_kernel_provider.local.provider import LocalKernelProvider
from remote_kernel_provider.parameters.launch_parameters import Identity

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

    def test_what_is_too_much_is_said_as_people_write_it(self, resolve):
        with pytest.raises(RefusedError, match=r"launch_timeout 100 is refused: the operator's maximum is 60; "):
            resolve({"launch_timeout": "100"}, settings={"maxima": {"launch_timeout": 60}})

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
