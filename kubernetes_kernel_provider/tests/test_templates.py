"""Templates: what is printed stays a value, and every message names file and line."""

import json
from pathlib import Path

import pytest
import yaml

from kubernetes_kernel_provider.templates import CompiledTemplate, load_template, located, render_objects
from remote_kernel_provider.errors import ParameterError, SpecError

HOSTILE = [
    "a: b", "a\nb: c", "\n- x", '"', "'", '"}, "x": {"', "{{ 7 * 7 }}", "{% raw %}", "#", "# c", " #c",
    "---\nkind: Pod", "...", "&a", "*a", "!!python/object:x", "!x", "|", ">", "%YAML", "@", "`", "[", "]", "{", "}",
    ",", "? x", "- x", "null", "~", "true", "no", "0123", "1e3", ".inf", "2026-01-01", "<<", "=", "", " ", "\t",
    "\r\n", "\x85", "\u2028", "$(HOME)", "$$(HOME)", "$HOME", "`id`", "; id", "\\", "\\n", "日本", "🙂", "\x00",
    "\x02" + "7\x03", "\x1b[0m", "x" * 50_000, "zz0n0z", "\ufeff", "</script>", "%s", "{0}",
]  # fmt: skip
HEAD = "apiVersion: v1\nkind: ConfigMap\n"
POD = "apiVersion: v1\nkind: Pod\n"


def render(source, **variables):
    return render_objects(CompiledTemplate(source, "t.j2"), variables)


def one(source, **variables):
    (found,) = render(source, **variables)
    return found.document


@pytest.mark.parametrize(
    ("line", "make"),
    [
        pytest.param("x: {{ v }}", lambda v: v, id="plain"),
        pytest.param('x: "{{ v }}"', lambda v: v, id="double quotes"),
        pytest.param("x: '{{ v }}'", lambda v: v, id="single quotes"),
        pytest.param("x: a-{{ v }}.b", lambda v: f"a-{v}.b", id="within a plain scalar"),
        pytest.param('x: "{{ v }}{{ v }}"', lambda v: v + v, id="twice"),
        pytest.param("x: {{ v ~ '-x' }}", lambda v: f"{v}-x", id="joined"),
        pytest.param("x: {{ none_such | default(v) }}", lambda v: v, id="default"),
        pytest.param("x: {% if v is defined %}{{ v }}{% else %}y{% endif %}", lambda v: v, id="condition"),
        pytest.param("x: |-\n    {{ v }}", lambda v: v, id="block"),
        pytest.param("x: >-\n    {{ v }}", lambda v: v, id="folded"),
        pytest.param("{% set w %}<{{ v }}>{% endset %}\n  x: {{ w }}", lambda v: f"<{v}>", id="block of a set"),
        pytest.param("{% macro m(a) %}<{{ a }}>{% endmacro %}\n  x: {{ m(v) }}", lambda v: f"<{v}>", id="macro"),
        pytest.param("{% with w = v %}\n  x: {{ w }}\n{% endwith %}", lambda v: v, id="with"),
        pytest.param("x: {y: [{{ v }}, 'z']}", lambda v: {"y": [v, "z"]}, id="flow"),
        pytest.param("# {{ v }}\n  x: 1", lambda v: 1, id="comment"),
    ],
)
def test_a_value_is_never_structure(line, make):
    template = CompiledTemplate(f"apiVersion: acme.org/v1\nkind: Thing\nspec:\n  {line}\n", "t.j2")
    for value in HOSTILE:
        (found,) = render_objects(template, {"v": value})
        assert found.document["spec"] == {"x": make(value)}


def test_lists_and_conditions_work_on_values_not_on_tokens():
    source = HEAD + "data:\n{% for v in vs if v != 'no' %}\n  k{{ '' }}: x\n{% endfor %}\n"
    with pytest.raises(SpecError, match=r"t\.j2, line 5: a field's name has to be written out"):
        render(source, vs=["a", "no"])
    loop = "{% for v in vs %}\n{% if v > 1 %}\n- {{ loop.index }}:{{ v }}\n{% endif %}\n{% endfor %}\n"
    source = f"apiVersion: a.b/v1\nkind: T\nx:\n{loop}"
    assert one(source, vs=[1, 2, 3])["x"] == ["2:2", "3:3"]


# What people have: after the snippets that the gateway family's pages print, conditional and unconditional.
FAMILY = """\
apiVersion: v1
kind: Pod
metadata:
  name: "{{ kernel_pod_name }}"
  namespace: "{{ kernel_namespace }}"
  labels:
    kernel_id: "{{ kernel_id }}"
    app: gateway-provisioners
spec:
  restartPolicy: Never
  serviceAccountName: "{{ kernel_service_account_name }}"
  {% if kernel_uid is defined or kernel_gid is defined %}
  securityContext:
    {% if kernel_uid is defined %}
    runAsUser: {{ kernel_uid | int }}
    {% endif %}
    {% if kernel_gid is defined %}
    runAsGroup: {{ kernel_gid }}
    {% endif %}
    fsGroup: 100
  {% endif %}
  containers:
  - image: "{{ kernel_image }}"
    name: "{{ kernel_pod_name }}"
    env:
# A comment in the first column.
    {% if kernel_cpus is defined or kernel_memory is defined or kernel_gpus is defined or kernel_cpus_limit is defined or kernel_memory_limit is defined or kernel_gpus_limit is defined %}
    resources:
      {% if kernel_cpus is defined or kernel_memory is defined or kernel_gpus is defined %}
      requests:
        {% if kernel_cpus is defined %}
        cpu: "{{ kernel_cpus }}"
        {% endif %}
        {% if kernel_memory is defined %}
        memory: {{ kernel_memory }}
        {% endif %}
        {% if kernel_gpus is defined %}
        nvidia.com/gpu: {{ kernel_gpus }}
        {% endif %}
      {% endif %}
      {% if kernel_cpus_limit is defined or kernel_memory_limit is defined or kernel_gpus_limit is defined %}
      limits:
        {% if kernel_memory_limit is defined %}
        memory: "{{ kernel_memory_limit }}"
        {% endif %}
      {% endif %}
    {% endif %}
    {% if kernel_working_dir is defined %}
    workingDir: "{{ kernel_working_dir }}"
    {% endif %}
    volumeMounts:
# Define any "unconditional" mounts here, followed by "conditional" mounts that vary per client
    - mountPath: /dev/shm
      name: dshm
    {% if kernel_volume_mounts is defined %}
      {% for volume_mount in kernel_volume_mounts %}
    - {{ volume_mount }}
      {% endfor %}
    {% endif %}
  volumes:
# Define any "unconditional" volumes here, followed by "conditional" volumes that vary per client
  - name: dshm
    emptyDir:
      medium: Memory
  {% if kernel_volumes is defined %}
    {% for volume in kernel_volumes %}
  - {{ volume }}
    {% endfor %}
  {% endif %}
"""  # noqa: E501  # lines of theirs
NAMES = {
    "kernel_pod_name": "p", "kernel_namespace": "n", "kernel_id": "i", "kernel_service_account_name": "s",
    "kernel_image": "acme/science:2.0",
}  # fmt: skip


def test_the_familys_template_with_nothing_asked():
    pod = one(FAMILY, **NAMES)
    assert pod["metadata"] == {
        "name": "p",
        "namespace": "n",
        "labels": {"kernel_id": "i", "app": "gateway-provisioners"},
    }
    assert pod["spec"] == {
        "restartPolicy": "Never",
        "serviceAccountName": "s",
        "containers": [
            {
                "image": "acme/science:2.0",
                "name": "p",
                "volumeMounts": [{"mountPath": "/dev/shm", "name": "dshm"}],
            }
        ],
        "volumes": [{"name": "dshm", "emptyDir": {"medium": "Memory"}}],
    }


def test_the_familys_template_with_everything_asked():
    asked = {
        "kernel_uid": "1234", "kernel_gid": "200", "kernel_cpus": "2", "kernel_memory": "1Gi", "kernel_gpus": 1,
        "kernel_memory_limit": "2Gi", "kernel_working_dir": "/srv/work",
        "kernel_volumes": [{"name": "data", "nfs": {"server": "s", "path": "/"}}],
        "kernel_volume_mounts": [{"name": "data", "mountPath": "/data"}],
    }  # fmt: skip
    spec = one(FAMILY, **NAMES, **asked)["spec"]
    assert spec["securityContext"] == {"runAsUser": 1234, "runAsGroup": 200, "fsGroup": 100}
    (container,) = spec["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"},
        "limits": {"memory": "2Gi"},
    }
    assert container["workingDir"] == "/srv/work"
    assert container["volumeMounts"][1:] == asked["kernel_volume_mounts"]
    assert spec["volumes"][1:] == asked["kernel_volumes"]


@pytest.mark.parametrize(
    ("value", "field", "expected"),
    [
        ("1000", "runAsUser", 1000), (1000, "runAsUser", 1000), (1000.0, "runAsUser", 1000), ("-1", "runAsUser", -1),
        ("true", "runAsNonRoot", True), (False, "runAsNonRoot", False), ("False", "runAsNonRoot", False),
        (5, "procMount", "5"), (True, "procMount", "true"), ("5", "procMount", "5"), ("", "procMount", ""),
    ],
)  # fmt: skip
def test_a_whole_plain_value_takes_the_type_of_its_field(value, field, expected):
    pod = one(f"{POD}spec:\n  containers:\n  - securityContext:\n      {field}: {{{{ v }}}}\n", v=value)
    found = pod["spec"]["containers"][0]["securityContext"][field]
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("value", [1, 1.5, True, "1", "true", [1, {"a": None}], {"a": []}, "", []])
def test_where_no_type_is_declared_a_whole_plain_value_keeps_its_own(value):
    found = one("apiVersion: acme.org/v1\nkind: Thing\nx: {{ v }}\n", v=value)["x"]
    assert (found, type(found)) == (value, type(value))
    quoted = one('apiVersion: acme.org/v1\nkind: Thing\nx: "{{ v }}"\n', v=value)["x"]
    assert quoted == (value if isinstance(value, str) else json.dumps(value))


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("abc", "runAsUser: {{ v }}"), ("1.5", "runAsUser: {{ v }}"), (True, "runAsUser: {{ v }}"),
        ([1], "runAsUser: {{ v }}"), ("\u0661", "runAsUser: {{ v }}"), ("yes", "runAsNonRoot: {{ v }}"),
        (1, "runAsNonRoot: {{ v }}"), ({"a": 1}, "procMount: {{ v }}"), ("ALL", "capabilities: {add: {{ v }}}"),
        (["ALL"], "capabilities: {{ v }}"), (float("nan"), "runAsUser: {{ v }}"), ({1, 2}, "procMount: {{ v }}"),
        ("\ud800", "procMount: {{ v }}"), ("\ud800", 'procMount: "{{ v }}"'), (len, 'procMount: "x{{ v }}"'),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_an_error_at_its_line(value, line):
    source = f"{POD}spec:\n  containers:\n  - securityContext:\n      {line}\n"
    with pytest.raises(ParameterError, match=r"^t\.j2, line 6: .* takes .*; give another value$") as error:
        render(source, v=value)
    assert len(str(error.value)) < 300


def test_text_that_the_cluster_would_expand_is_kept_as_data():
    source = f"""{POD}spec:
  containers:
  - command: [run, "{{{{ v }}}}", {{{{ v }}}}, $(MINE)]
    args: {{{{ vs }}}}
    env:
    - name: A
      value: "<{{{{ v }}}}>$(MINE)"
    - name: B
      value: {{{{ v }}}}
    workingDir: {{{{ v }}}}
"""
    (container,) = one(source, v="$(X)$$", vs=["a"])["spec"]["containers"]
    kept = "$$(X)$$$$"
    assert container["command"] == ["run", kept, kept, "$(MINE)"]
    assert container["env"] == [{"name": "A", "value": f"<{kept}>$(MINE)"}, {"name": "B", "value": kept}]
    assert container["workingDir"] == "$(X)$$"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a: {{ x }}", "line 1: 'x' is undefined; say '{% if … is defined %}' where it need not be there"),
        ("a: 1\n\nb: {{ x.y }}", "line 3: 'x' is undefined"),
        ("a: 1\n{% if x %}\n{% endif %}", "line 2: 'x' is undefined"),
        ("{% macro m() %}\n{{ x }}{% endmacro %}\n\na: {{ m() }}", "line 2: 'x' is undefined"),
        ("\n{{", "line 2: unexpected"),
        ("\n{% endif %}", "line 2: Encountered unknown tag 'endif'"),
        ("\na: {{ 1 | nosuch }}", "line 2: No filter named 'nosuch'"),
        ("\na: {{ 1 / 0 }}", "line 2: fails: division by zero"),
        ("\na: {{ ''.__class__ }}", "line 2: access to attribute '__class__'"),
        ("\na: {{ [].append(1) }}", "line 2: access to attribute 'append'"),
        ("\na: {{ range(999999999) | list }}", "line 2: fails: Range too big"),
        ("\n{% include 'x' %}", "line 2: 'include' cannot be used"),
        ("\n{% import 'x' as y %}", "line 2: 'import' cannot be used"),
        ("\n{% from 'x' import y %}", "line 2: 'from' cannot be used"),
        ("\n{% extends 'x' %}", "line 2: 'extends' cannot be used"),
        ("\n{% block x %}{% endblock %}", "line 2: 'block' cannot be used"),
        ("\n{% filter upper %}x{% endfilter %}", "line 2: 'filter' cannot be used"),
        ("{% macro m() %}{% endmacro %}\n{% call m() %}x{% endcall %}", "line 2: 'call' cannot be used"),
        ("\n{% for x in [] recursive %}{% endfor %}", "line 2: 'recursive' cannot be used"),
        ("\n{% if true %}\n{% include 'x' %}{% endif %}", "line 3: 'include' cannot be used"),
        ("\na: '{{ 'x' | from_json }}'", "line 2: from_json was given what is no JSON"),
        ("\na: \x02", "line 2: holds a control character"),
        ("a: 1\n b: 2", "line 2: is no YAML"),
        ("apiVersion: v1\nkind: Pod\na: {b: 1", "is no YAML"),
        ("apiVersion: v1\nkind: Pod\na: *b", "line 3: is no YAML"),
        ("\n- a", "line 2: an object begins with apiVersion and kind"),
        ("\ntext", "line 2: an object begins with apiVersion and kind"),
        ("\nkind: Pod", "line 2: the object has no apiVersion"),
        ("apiVersion: v1", "line 1: the object has no kind"),
        ("apiVersion: v1\nkind: {{ 'Pod' }}", "line 2: kind has to be written out"),
        ("kind: Pod\napiVersion: v{{ 1 }}", "line 2: apiVersion has to be written out"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  a: 1\n  a: 2", "line 5: 'a' is there twice"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  {{ 'a' }}: 1", "line 4: a field's name has to be written out"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  x{{ 'a' }}: 1", "line 4: a field's name has to be written out"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  1: 1", "line 4: a field's name must be a text; quote it"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  <<: {a: 1}", "line 4: a field's name must be a text; quote it"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  ? [a]\n  : 1", "line 4: a field's name must be a text; quote it"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  x: !include y", "line 4: '!include' cannot be used here"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  x: !!binary aGk=", "line 4: 'binary' cannot be used here"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  x: .inf", "line 4: '.inf' is no number that JSON has"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  x: &a\n  - *a", "holds itself"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  hostname: 5", "line 4: spec.hostname takes a text; quote it"),
        (
            "apiVersion: v1\nkind: Pod\nspec:\n  priority: 'x'",
            "line 4: spec.priority takes an integer; take the quotes",
        ),
        ("apiVersion: v1\nkind: Pod\nspec:\n  priority: x", "line 4: spec.priority takes an integer"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  containers: {}", "line 4: spec.containers takes a list"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  containers: [x]", "line 4: spec.containers[0] takes an object"),
        ("apiVersion: v1\nkind: Pod\nspec: x", "line 3: spec takes an object"),
        ("apiVersion: a.b/v1\nkind: T\nmetadata: x", "line 3: metadata takes an object"),
        ("apiVersion: a.b/v1\nkind: T\nmetadata:\n  name: 5", "line 4: metadata.name takes a text; quote it"),
        ("apiVersion: v1\nkind: 5", "line 2: kind takes a text; quote it"),
        (
            "apiVersion: v1\nkind: Pod\nspec:\n  overhead:\n    cpu: 1 GiB",
            "line 5: spec.overhead.cpu takes a quantity such as 500m, 2 or 1.5Gi",
        ),
        ("apiVersion: v1\nkind: Pod\nspec:\n  overhead: {cpu: 'two'}", "1.5Gi"),
        ("apiVersion: v1\nkind: Pod\nspec:\n  overhead: {cpu: true}", "1.5Gi"),
    ],
)
def test_every_fault_has_its_line(source, message):
    with pytest.raises(SpecError) as error:
        render(source)
    assert str(error.value).startswith("t.j2")
    assert message in str(error.value)


def test_a_line_is_the_templates_whatever_was_left_out_or_repeated():
    source = f"""{POD}{{% if false %}}
# left out
  x: 1
{{% endif %}}
{{# a comment
   of two lines #}}
{{%- for name in names %}}
# {{{{ name }}}}
{{%- endfor %}}

spec:
  containers:
  {{% for name in names %}}
  - name: "{{{{ name }}}}"
    image: x
  {{% endfor %}}
  volumes:
  - {{{{ {{"name": "v"}} }}}}
"""
    (pod,) = render(source, names=["a", "b"])
    assert [container["name"] for container in pod.document["spec"]["containers"]] == ["a", "b"]
    lines = source.split("\n")
    for field, text in {
        "kind": "kind:",
        "spec": "spec:",
        "spec.containers": "containers:",
        "spec.containers[1]": "- name:",
        "spec.containers[0].image": "image:",
        "spec.containers[1].image": "image:",
        "spec.containers[1].image.none.such": "image:",
        "spec.volumes[0]": '- {{ {"name"',
        "spec.volumes[0].name": '- {{ {"name"',
        "none.such": "apiVersion",
    }.items():
        assert text in lines[pod.line_of(field) - 1], field


def test_fields_with_dots_and_slashes_have_lines_too():
    (found,) = render(f"{HEAD}metadata:\n  name: x\n  annotations:\n    a.b/c: d\n")
    assert found.line_of("metadata.annotations[a.b/c]") == 6


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            'cannot be handled as a Pod: strict decoding error: unknown field "spec.containers[0].x"',
            6,
        ),
        ('strict decoding error: duplicate field "spec.hostname"', 4),
        ('Pod "p" is invalid: spec.hostname: Invalid value: "spec.containers[0]: x": must be a label', 4),
        ('Pod "p" is invalid: [spec.containers[0].image: Required value, spec.hostname: Invalid value: "x"]', 6),
        ('Pod "p" is invalid: metadata.annotations[a.b/c]: Invalid value: "x"', None),
        ('Pod "p" is invalid: spec.tolerations[0].operator: Unsupported value: "x"', None),
        ("spec.containers[0].env[3].name: Required value", 6),
        ("the cluster has no objects of the kind Pod (v1) in namespaces", 1),
    ],
)
def test_what_the_cluster_refuses_is_found_in_the_template(message, line):
    (pod,) = render(f"{POD}spec:\n  hostname: x\n  containers:\n  - name: k\n")
    assert located(pod, message) == (message if line is None else f"t.j2, line {line}: {message}")


def test_several_documents_and_empty_ones():
    source = f"---\n{HEAD}---\n# nothing\n---\n{{% if false %}}{HEAD}{{% endif %}}\n---\n{POD}"
    assert [found.kind for found in render(source)] == ["ConfigMap", "Pod"]
    assert render("# nothing") == []


def test_quantities_are_texts_or_numbers():
    source = f"{POD}spec:\n  overhead: {{cpu: 2, memory: 1.5Gi, a: 0.5, b: '2', c: {{{{ v }}}}, d: \"{{{{ v }}}}\"}}\n"
    assert one(source, v=3)["spec"]["overhead"] == {
        "cpu": "2", "memory": "1.5Gi", "a": "0.5", "b": "2", "c": "3", "d": "3",
    }  # fmt: skip
    with pytest.raises(ParameterError, match=r"line 4: spec\.overhead\.cpu takes a quantity such as .*'much' is none"):
        one(f"{POD}spec:\n  overhead: {{cpu: {{{{ v }}}}}}\n", v="much")


def test_literals_are_what_yaml_says():
    source = (
        "apiVersion: a.b/v1\nkind: T\nx: {a: 1, b: true, c: '1', d: 2026-01-01, e: 1.5, f: ~, g: [~], h: &n {i: j}}\n"
        "y: *n\n"
    )
    found = one(source)
    assert found["x"] == {"a": 1, "b": True, "c": "1", "d": "2026-01-01", "e": 1.5, "g": [None], "h": {"i": "j"}}
    assert found["y"] == {"i": "j"}


def test_lists_of_ones_own_come_by_json():
    source = "apiVersion: a.b/v1\nkind: T\nx:\n{% for d in kernel_disks | from_json %}\n- {{ d }}\n{% endfor %}\n"
    assert one(source, kernel_disks='["a", {"b": 1}]')["x"] == ["a", {"b": 1}]


def test_a_file_is_compiled_again_when_it_changed(tmp_path):
    file = tmp_path / "t.j2"
    file.write_text(f"{HEAD}data: {{a: '{{{{ v }}}}'}}\n")
    first = load_template(file)
    assert load_template(file) is first
    file.write_text(f"{HEAD}data: {{longer: '{{{{ v }}}}'}}\n")
    assert render_objects(load_template(file), {"v": "x"})[0].document["data"] == {"longer": "x"}


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(SpecError, match=r"none\.j2: cannot be read: No such file"):
        load_template(tmp_path / "none.j2")
    (tmp_path / "latin.j2").write_bytes(b"# \xe9")
    with pytest.raises(SpecError, match=r"latin\.j2: is no UTF-8 text"):
        load_template(tmp_path / "latin.j2")


@pytest.mark.parametrize("loader", ["SafeLoader", "CSafeLoader"])
def test_with_and_without_yaml_in_c(loader, monkeypatch):
    if not hasattr(yaml, loader):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr("kubernetes_kernel_provider.templates.composing._LOADER", getattr(yaml, loader))
    (pod,) = render(FAMILY, **NAMES, kernel_volumes=[{"name": "é\n: x"}], kernel_uid="7")
    assert pod.document["spec"]["volumes"][1] == {"name": "é\n: x"}
    assert pod.document["spec"]["securityContext"]["runAsUser"] == 7
    assert "runAsUser" in FAMILY.split("\n")[pod.line_of("spec.securityContext.runAsUser") - 1]


def test_the_packages_own_template_is_one():
    file = Path(__file__).parents[1] / "src/kubernetes_kernel_provider/resources/kernel-pod.yaml.j2"
    (pod,) = render_objects(load_template(file), NAMES)
    assert pod.document["metadata"]["name"] == "p"
