"""Templates: what is printed stays a value, and takes the type of its field."""

import json

import pytest
from rendering import HEAD, POD, one, render

from kubernetes_kernel_provider.templates import CompiledTemplate, render_objects
from remote_kernel_provider.errors import ParameterError, SpecError

HOSTILE = [
    "a: b", "a\nb: c", "\n- x", '"', "'", '"}, "x": {"', "{{ 7 * 7 }}", "{% raw %}", "#", "# c", " #c",
    "---\nkind: Pod", "...", "&a", "*a", "!!python/object:x", "!x", "|", ">", "%YAML", "@", "`", "[", "]", "{", "}",
    ",", "? x", "- x", "null", "~", "true", "no", "0123", "1e3", ".inf", "2026-01-01", "<<", "=", "", " ", "\t",
    "\r\n", "\x85", "\u2028", "$(HOME)", "$$(HOME)", "$HOME", "`id`", "; id", "\\", "\\n", "日本", "🙂", "\x00",
    "\x02" + "7\x03", "\x1b[0m", "x" * 50_000, "zz0n0z", "\ufeff", "</script>", "%s", "{0}",
]  # fmt: skip


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
