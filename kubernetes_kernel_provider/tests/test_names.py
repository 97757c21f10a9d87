"""Names that a cluster takes, from whatever a user or a client is called."""

import random
import re
import uuid

import pytest

from kubernetes_kernel_provider.names import DEFAULT_POD_NAME, dns_label, is_dns_label, label_value, pod_name
from remote_kernel_provider.errors import ParameterError

USERS = [
    "ada", "0123", "Ada", "ada.lovelace@example.org", "müller", "日本", "-", "", "_", "a" * 300, "A" * 64, "é" * 300,
    "a\nb", "a\0b", "\ud800", "../..", "${HOME}", "{{ 7 * 7 }}", "ada-", "ADA_1", "🙂", "a" * 63, "x--y",
    "null", "true",
]  # fmt: skip
KERNEL_ID = str(uuid.UUID(int=7))


def name_of(user, template=DEFAULT_POD_NAME, generation="0", **more):
    return pod_name(template, {"kernel_username": user, "kernel_id": KERNEL_ID, **more}, generation)


@pytest.mark.parametrize("user", USERS, ids=ascii)
def test_every_user_gets_names(user):
    for name in (name_of(user), dns_label(user)):
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)
        assert is_dns_label(name)
    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", label_value(user))


def test_no_two_users_share_a_name():
    letters = random.Random(6)
    alphabet = "aA0-._éß日 /\n"
    users = {*USERS, *("".join(letters.choices(alphabet, k=letters.randrange(1, 8))) for _ in range(3000))}
    users |= {dns_label(user) for user in users} | {label_value(user) for user in users}
    for make in (name_of, dns_label, label_value):
        assert len({make(user) for user in users}) == len(users)


def test_names_show_what_they_name():
    assert re.fullmatch(rf"ada-{KERNEL_ID}-[0-9a-f]{{10}}", name_of("ada"))
    assert re.fullmatch(rf"0123-{KERNEL_ID}-[0-9a-f]{{10}}", name_of("0123"))
    assert re.fullmatch(rf"ada-lovelace-ex-{KERNEL_ID}-[0-9a-f]{{10}}", name_of("Ada.Lovelace@example.org"))
    assert dns_label("ada") == "ada"
    assert dns_label("Müller").startswith("muller-")
    assert dns_label("日本").startswith("kernel-")
    assert label_value("Ada_1.x") == "Ada_1.x"


def test_a_restarted_kernel_has_another_pod():
    assert name_of("ada", generation="1") != name_of("ada", generation="2")
    assert name_of("ada", generation="1") == name_of("ada", generation="1")


@pytest.mark.parametrize(
    ("template", "begins"),
    [
        ("jupyter-{{ kernel_id }}", f"jupyter-{KERNEL_ID}-"),
        ("{{kernel_username}}", "ada-"),
        ("Team X/{{ kernel_team }}", "team-x-red-"),
        ("x" * 300, "x" * 52 + "-"),
        ("", "kernel-"),
        ("日本", "kernel-"),
    ],
)
def test_a_template_of_names(template, begins):
    name = name_of("ada", template, kernel_team="Red")
    assert name.startswith(begins)
    assert is_dns_label(name)


def test_what_a_value_holds_is_not_read_as_a_template():
    assert name_of("ada", "{{ kernel_team }}", kernel_team="{{ kernel_id }}").startswith("kernel-id-")


@pytest.mark.parametrize(
    "template", ["{{ kernel_usrname }}", "{{ kernel_id | upper }}", "{{ 7 * 7 }}", "{% for x in y %}", "{{", "{# x #}"]
)
def test_nothing_else_of_jinja(template):
    with pytest.raises(ParameterError) as error:
        name_of("ada", template)
    assert str(error.value).startswith("pod_name ")


def test_the_nearest_name_is_named():
    with pytest.raises(ParameterError, match="did you mean 'kernel_username'"):
        name_of("ada", "{{ kernel_usrname }}")
