"""Options as traits: a trait that stands for one key of a spec's `config`, and the spellings of every option."""

from __future__ import annotations

from typing import Any

from traitlets import Bool, Dict, HasTraits, TraitError, TraitType, Unicode

from remote_kernel_provider.kernelspecs.config_keys import BY_NAME, ConfigKey


class ConfigValue(TraitType[Any, Any]):
    """An option that sets one key of the spec's `config`; the table of keys checks it and gives its help.

    Parameters
    ----------
    key_name
        Name of the key.
    """

    def __init__(self, key_name: str, hint: str = "") -> None:
        self.key = BY_NAME[key_name]
        text = (
            f"{self.key.meaning} Expected: {self.key.expected}{hint}. Default: not in the spec, so the host's setting."
        )
        super().__init__(default_value=None, allow_none=True, help=text)
        self.tag(config=True, option=True)

    def validate(self, obj: Any, value: Any) -> Any:
        """Return the value as it stands in the spec's JSON."""
        try:
            return json_form(self.key, value)
        except ValueError as error:
            raise TraitError(f"{spelling(self.key.name)} is {value!r}; expected {error}") from None

    def default_value_repr(self) -> None:  # type: ignore[override]
        """Say nothing: the help's text says it."""


class ConfigValues(ConfigValue):
    """The same for a list: the option may be repeated, and each value may be separated by commas."""

    def __init__(self, key_name: str) -> None:
        super().__init__(key_name, "; repeat the option, or separate by commas")

    def from_string_list(self, words: list[str]) -> str:
        """Join the words of a repeated option."""
        return ",".join(words)


class Pairs(Dict):
    """An option that is given as `NAME=VALUE`, as often as there are names.

    Parameters
    ----------
    meaning
        What a pair sets.
    """

    def __init__(self, meaning: str) -> None:
        text = f"NAME=VALUE: {meaning}; repeat the option for more."
        super().__init__(key_trait=Unicode(), value_trait=Unicode(), help=text)
        self.tag(config=True, option=True)

    def from_string_list(self, s_list: list[str]) -> dict[str, str]:
        """Read the words of a repeated option."""
        pairs = [word.partition("=") for word in s_list]
        if not all(name and separator for name, separator, _ in pairs):
            raise ValueError("expected NAME=VALUE")  # traitlets then validates the words as they are
        return {name: value for name, _, value in pairs}

    def validate(self, obj: Any, value: Any) -> dict[str, str] | None:
        """Return the pairs."""
        if not isinstance(value, dict):
            raise TraitError(f"{spelling(str(self.name))} is {value!r}; expected NAME=VALUE")
        return super().validate(obj, value)


def json_form(key: ConfigKey, value: Any) -> Any:
    """Return the normal form where JSON can hold it, else the text that was given."""
    normal = key.read(value)
    plain = list(normal) if isinstance(normal, tuple) else normal
    if isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    try:
        return plain if key.read(plain) == normal else value
    except ValueError:
        return value


def spelling(trait_name: str) -> str:
    """Return the option of a trait."""
    return f"--{trait_name.replace('_', '-')}"


def _both(trait_name: str) -> tuple[str, ...]:
    dashed = trait_name.replace("_", "-")
    return (dashed,) if dashed == trait_name else (dashed, trait_name)


def aliases_of(cls: type[HasTraits]) -> dict[tuple[str, ...], str]:
    """Return the options of a class that take a value, each in both spellings."""
    return {
        _both(name): f"{cls.__name__}.{name}"
        for name, trait in cls.class_traits(option=True).items()
        if not isinstance(trait, Bool)
    }


def flags_of(cls: type[HasTraits]) -> dict[tuple[str, ...], tuple[dict[str, dict[str, bool]], str]]:
    """Return the options of a class that take none, each in both spellings."""
    return {
        _both(name): ({cls.__name__: {name: True}}, str(trait.help))
        for name, trait in cls.class_traits(option=True).items()
        if isinstance(trait, Bool)
    }
