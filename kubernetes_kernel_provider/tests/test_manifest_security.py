"""What a pod may be and do: levels, users, and what is refused at its line."""

import pytest
from pod_launches import FORBIDDEN, POD, parts, template_with

from remote_kernel_provider.errors import ParameterError, RefusedError, SpecError


def test_the_floor_of_every_container(launch):
    template = (
        f"{POD}spec:\n  initContainers: [{{name: i, image: x}}]\n  containers: [{{name: a}}, {{name: s, image: x}}]\n"
    )
    _, spec, _ = parts(launch(template=template))
    assert spec["securityContext"] == {
        "runAsUser": 1000,
        "runAsGroup": 100,
        "fsGroup": 100,
        "fsGroupChangePolicy": "OnRootMismatch",
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in [*spec["initContainers"], *spec["containers"]]:
        assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.mark.parametrize(("line", "at", "level"), FORBIDDEN)
def test_what_a_level_forbids_is_an_error_at_its_line(launch, settings, line, at, level):
    template = template_with(line)
    with pytest.raises(SpecError) as error:
        launch(template=template)
    assert at in str(error.value)
    assert f"line {template.count(chr(10))}: " in str(error.value)
    assert f"'{settings.pod_security}'" in str(error.value)
    if level == "restricted":
        settings.pod_security = "baseline"
        launch(template=template)
    settings.pod_security = "privileged"
    launch(template=template)


@pytest.mark.parametrize("level", ["restricted", "baseline", "privileged"])
@pytest.mark.parametrize("line", ["hostPID: true", "securityContext: {runAsUser: 0}", "ephemeralContainers: []"])
def test_what_no_level_allows(launch, settings, level, line):
    settings.pod_security = level
    with pytest.raises(SpecError, match=r"line 6: spec\."):
        launch(template=f"{POD}spec:\n  containers: [{{name: k}}]\n  {line}\n")


@pytest.mark.parametrize(
    ("field", "value", "setting"),
    [
        ("runAsUser", 7, "prohibited_uids"),
        ("runAsGroup", 7, "prohibited_gids"),
        ("fsGroup", 7, "prohibited_gids"),
        ("supplementalGroups", [6, 7], "prohibited_gids"),
    ],
)
def test_prohibited_ids_of_the_spec_add_up(launch, field, value, setting):
    template = f"{POD}spec:\n  containers: [{{name: k}}]\n  securityContext: {{{field}: {value}}}\n"
    launch(template=template)
    with pytest.raises(SpecError, match=f"{field} is 7, one of {setting}"):
        launch(template=template, spec={"config": {setting: [7]}})
    with pytest.raises(SpecError, match=f"{field} is 0, one of {setting}"):
        launch(template=template.replace("7", "0"))


@pytest.mark.parametrize(("name", "value"), [("uid", "0"), ("gid", 0), ("fs_group", 0), ("uid", 0)])
def test_a_prohibited_id_is_refused(launch, name, value):
    with pytest.raises(RefusedError, match=f"{name} 0 is refused"):
        launch({name: value})


def test_who_the_kernel_runs_as(launch):
    def who(values, **spec):
        _, spec, container = parts(launch(values, **spec))
        names = ("runAsUser", "runAsGroup", "fsGroup")
        return [spec["securityContext"].get(name, container["securityContext"].get(name)) for name in names]

    fixed = f"{POD}spec:\n  containers: [{{name: k}}]\n  securityContext: {{runAsUser: 5, fsGroup: 6}}\n"
    inside = f"{POD}spec:\n  containers: [{{name: k, securityContext: {{runAsUser: 5}}}}]\n"
    assert who({}) == [1000, 100, 100]
    assert who({"uid": "1234"}) == [1234, 100, 100]
    assert who({"uid": 1234, "gid": 7}) == [1234, 7, 7]
    assert who({"gid": 7, "fs_group": 8}) == [1000, 7, 8]
    assert who({"uid": "image"}) == [None, None, None]
    assert who({}, template=fixed) == [5, 100, 6]
    assert who({"uid": 9}, template=fixed) == [9, 100, 6]
    _, spec, container = parts(launch({"uid": 9}, template=inside))
    assert (spec["securityContext"]["runAsUser"], container["securityContext"].get("runAsUser")) == (9, None)
    with pytest.raises(ParameterError, match="gid needs a uid"):
        launch({"uid": "image", "gid": 7})


def test_an_images_own_user_reads_its_connection_file(launch):
    _, spec, _ = parts(launch({"uid": "image"}))
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["volumes"][0]["secret"]["defaultMode"] == 0o444
    _, spec, _ = parts(launch())
    assert spec["volumes"][0]["secret"]["defaultMode"] == 0o440
