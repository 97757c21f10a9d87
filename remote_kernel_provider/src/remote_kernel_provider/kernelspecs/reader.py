"""Reading one spec file: parsing, validation, and errors that name the file and the remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remote_kernel_provider.errors import SpecError
from remote_kernel_provider.files import parse_json
from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS, ConfigKey, nearest
from remote_kernel_provider.kernelspecs.peers import find_stanza
from remote_kernel_provider.kernelspecs.spec import KernelSpec
from remote_kernel_provider.kernelspecs.stock import schema_of

NAME_PATTERN = re.compile(r"[A-Za-z0-9._-]+")
"""What the name of a spec's folder looks like (`jupyter_client.kernelspec` has the same rule)."""


def read_spec(file: Path, default_lifecycle: str, config_keys: Sequence[ConfigKey] = CONFIG_KEYS) -> KernelSpec:
    """Read and validate a spec file.

    Parameters
    ----------
    file
        `…/kernels/NAME/….json`.
    default_lifecycle
        Lifecycle manager of a spec that names none.
    config_keys
        The keys that its `config` may have.

    Raises
    ------
    SpecError
        One sentence that names the file, what is wrong and what is expected.
    """
    return spec_from_document(read_document(file), file, default_lifecycle, config_keys)


def read_document(file: Path) -> Any:
    """Return what is in a spec file, whatever it is.

    Raises
    ------
    SpecError
        When it cannot be read, or is not JSON.
    """
    try:
        return parse_json(file.read_bytes())
    except OSError as error:
        raise SpecError(f"{file}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SpecError(f"{file}: is not JSON: {error}") from None


def spec_from_document(
    document: Any, file: Path, default_lifecycle: str, config_keys: Sequence[ConfigKey] = CONFIG_KEYS
) -> KernelSpec:
    """Validate the document of a spec file; see `read_spec`."""
    name = file.parent.name
    if not NAME_PATTERN.fullmatch(name):
        raise SpecError(f"{file}: the folder's name may hold only letters, digits, '.', '_' and '-'; rename it")
    fields = _Fields(file, document)
    metadata = fields.mapping("metadata")
    schema = schema_of(metadata)
    if schema is not None and not isinstance(schema, Mapping):
        raise SpecError(f"{file}: metadata.launch_parameter_schema must be a JSON Schema (an object)")
    stanza = find_stanza(metadata)
    if stanza is None and "lifecycle_manager" in metadata:
        raise SpecError(f"{file}: metadata.lifecycle_manager needs a text 'class_name'")
    config = {} if stanza is None else _config(file, stanza.where, stanza.config, config_keys)
    return KernelSpec(
        name=name,
        file=file,
        display_name=fields.text("display_name", name),
        language=fields.text("language", ""),
        argv=fields.words("argv"),
        lifecycle_manager=default_lifecycle if stanza is None else stanza.lifecycle_manager,
        env=fields.texts("env"),
        interrupt_mode=fields.choice("interrupt_mode", "signal", "message"),
        metadata=metadata,
        config=config,
    )


def _config(file: Path, where: str, config: Any, config_keys: Sequence[ConfigKey]) -> Mapping[str, Any]:
    if not config:
        return {}
    if not isinstance(config, Mapping):
        raise SpecError(f"{file}: {where}.config must be an object")
    known = {key.name: key for key in config_keys}
    result = {}
    for name, value in config.items():
        key = known.get(name)
        if key is None:
            raise SpecError(f"{file}: {where}.config has the unknown key '{name}'{nearest(name, known)}")
        if value is None:
            continue  # the peers' installers write null for what was not chosen
        try:
            result[name] = key.read(value)
        except ValueError as error:
            raise SpecError(f"{file}: {where}.config.{name} is {json.dumps(value)}; expected {error}") from None
    return result


class _Fields:
    """The top-level fields of a spec file, each checked for its type."""

    def __init__(self, file: Path, document: Any) -> None:
        self._file = file
        if not isinstance(document, Mapping):
            raise SpecError(f"{file}: must hold a JSON object")
        self._document = document

    def _wrong(self, name: str, expected: str) -> SpecError:
        return SpecError(f"{self._file}: '{name}' must be {expected}")

    def text(self, name: str, default: str) -> str:
        value = self._document.get(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a text")
        return value

    def choice(self, name: str, *words: str) -> str:
        value = self.text(name, words[0])
        if value not in words:
            raise self._wrong(name, " or ".join(words))
        return value

    def words(self, name: str) -> tuple[str, ...]:
        value = self._document.get(name, [])
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self._wrong(name, "a list of texts")
        return tuple(value)

    def mapping(self, name: str) -> Mapping[str, Any]:
        value = self._document.get(name, {})
        if not isinstance(value, Mapping):
            raise self._wrong(name, "an object")
        return value

    def texts(self, name: str) -> Mapping[str, str]:
        value = self.mapping(name)
        if not all(isinstance(word, str) for word in value.values()):
            raise self._wrong(name, "an object of texts")
        return value
