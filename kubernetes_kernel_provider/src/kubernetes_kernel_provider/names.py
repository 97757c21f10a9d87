"""Names that a cluster takes, made from texts that nobody checked: of users, kernels, templates.

Whatever the text, a name of this module

- is a DNS label: `a-z`, `0-9` and `-`, at most 63 characters, a letter or digit at both ends;
- shows what it was made from, as far as that can be written in these characters;
- is another one for another text: what was lost in writing is made up for by a hash.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping

from remote_kernel_provider.errors import ParameterError
from remote_kernel_provider.kernelspecs.config_keys import nearest

LONGEST = 63
"""Characters of the longest DNS label, and of the longest value of a label."""

DEFAULT_POD_NAME = "{{ kernel_username }}-{{ kernel_id }}"
"""Template of a pod's name."""

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_HASH_LENGTH = 10
_HASHED = re.compile(rf".*-[0-9a-f]{{{_HASH_LENGTH}}}", re.DOTALL)
_OWN_NAMESPACE = re.compile(rf"(.*-)?[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}-[0-9a-f]{{{_HASH_LENGTH}}}")
_PRINTED = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_USERS_SHARE = 15
"""Characters of the user's name in a pod's: a kernel's id and the hash fit beside them."""


def is_dns_label(text: str) -> bool:
    """Whether a cluster takes a text as the name of a namespace or of a service account."""
    return bool(_DNS_LABEL.fullmatch(text))


def dns_label(text: str) -> str:
    """Return a text itself where it is a DNS label, else one that is made from it.

    No two texts share one: a text that could be taken for a made label is made anew, too.
    """
    return text if _DNS_LABEL.fullmatch(text) and not _HASHED.fullmatch(text) else hashed_label(text, text)


def label_value(text: str) -> str:
    """Return a text itself where a label can have it as its value, else a DNS label that is made from it."""
    return text if _LABEL_VALUE.fullmatch(text) and not _HASHED.fullmatch(text) else hashed_label(text, text)


def hashed_label(shown: str, *distinguished: str) -> str:
    """Return a DNS label that shows one text and ends with a hash of others."""
    digest = hashlib.sha256(repr(distinguished).encode()).hexdigest()[:_HASH_LENGTH]
    readable = _readable(shown)[: LONGEST - _HASH_LENGTH - 1].rstrip("-")
    return f"{readable or 'kernel'}-{digest}"


def pod_name(template: str, variables: Mapping[str, str], generation: str) -> str:
    """Return the name of one launch's pod.

    Parameters
    ----------
    template
        Text in which `{{ kernel_… }}` stands for a variable; nothing else of Jinja, as a client may have written it.
    variables
        Their values, `kernel_username` and `kernel_id` among them.
    generation
        Of the launch: the pod that a restart replaces may still be there.

    Raises
    ------
    ParameterError
        When the template names what there is not.
    """
    user = _readable(variables["kernel_username"])[:_USERS_SHARE]
    written = _fill_in(template, {**variables, "kernel_username": user})
    exact = _fill_in(template, variables)
    return hashed_label(written, exact, variables["kernel_id"], generation)


def own_namespace(user: str, kernel_id: str, generation: str) -> str:
    """Return the name of the namespace that one launch has to itself."""
    shown = f"{_readable(user)[:_USERS_SHARE]}-{kernel_id}"
    return hashed_label(shown, "namespace", kernel_id, generation)


def is_own_namespace(name: str, kernel_id: str, generation: str) -> bool:
    """Whether a namespace is called as `own_namespace` calls that of a launch, whoever's it is."""
    return name.rpartition("-")[2] == own_namespace("", kernel_id, generation).rpartition("-")[2]


def is_like_own_namespace(name: str) -> bool:
    """Whether a namespace is called as `own_namespace` calls them: a good guess, where no launch is known."""
    return bool(_OWN_NAMESPACE.fullmatch(name))


def _fill_in(template: str, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in variables:
            raise ParameterError(f"pod_name prints the unknown name '{match[1]}'{nearest(match[1], variables)}")
        return variables[match[1]]

    if any(mark in _PRINTED.sub("", template) for mark in ("{{", "{%", "{#")):
        raise ParameterError(
            "pod_name may hold text and names, such as '{{ kernel_username }}-{{ kernel_id }}', and no other Jinja"
        )
    return _PRINTED.sub(value, template)


def _readable(text: str) -> str:
    """Write a text in the characters of a DNS label: letters lose case and accents, the rest becomes `-`."""
    plain = unicodedata.normalize("NFKD", text[: 10 * LONGEST]).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
