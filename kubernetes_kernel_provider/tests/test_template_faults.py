"""Templates: every message names file and line."""

import pytest
from rendering import HEAD, POD, render

from kubernetes_kernel_provider.templates import load_template, located, render_objects
from remote_kernel_provider.errors import ParameterError, SpecError


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
