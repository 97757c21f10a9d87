"""From a template's text to a program that prints opaque tokens in the place of values.

What an expression prints into the document is wrapped on Jinja's syntax tree, so values are untouched wherever they are
only computed with: in conditions, loops, assignments, macros. The template's own text is wrapped, too: in marks that
tell from which line it comes.
"""

from __future__ import annotations

import json
import re
import secrets
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError, nodes, pass_context
from jinja2.exceptions import TemplateError, TemplateRuntimeError
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from remote_kernel_provider.errors import SpecError

_PRINT, _MARK = "print into the document", "mark the line"
"""Filters that no template can name."""

_PRINTED_BY_RENDER = "what was printed"
"""Variable that no template can name."""

_STATEMENTS = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.For, nodes.With,
    nodes.Assign, nodes.AssignBlock, nodes.Macro,
)  # fmt: skip
_REFUSED: Mapping[type[nodes.Node], str] = {
    nodes.CallBlock: "call", nodes.FilterBlock: "filter", nodes.Include: "include", nodes.Import: "import",
    nodes.FromImport: "from", nodes.Extends: "extends", nodes.Block: "block",
    nodes.ScopedEvalContextModifier: "autoescape",
}  # fmt: skip

MARK = re.compile("\x02([0-9]+)\x03")
"""Stands before each piece of the template's own text and names its line; YAML holds no such characters."""


class PrintedValue(NamedTuple):
    """A value that an expression printed, and the template's line on which it did."""

    value: Any
    line: int


@dataclass(frozen=True)
class Printed:
    """What one rendering printed: its text, with marks and tokens, and the values that the tokens stand for.

    Parameters
    ----------
    text
        As Jinja made it.
    values
        By the tokens' numbers.
    token
        What a token looks like; nobody can write one, as it is random in each rendering.
    """

    text: str
    values: tuple[PrintedValue, ...]
    token: re.Pattern[str]


@dataclass
class _Printing:
    """The tokens of a rendering that is under way."""

    nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    values: list[PrintedValue] = field(default_factory=list)

    def add(self, value: Any, line: int) -> str:
        self.values.append(PrintedValue(value, line))
        return f"zz{self.nonce}n{len(self.values) - 1}z"

    @property
    def token(self) -> re.Pattern[str]:
        return re.compile(f"zz{self.nonce}n([0-9]+)z")


class CompiledTemplate:
    """A template, ready to be rendered any number of times.

    Parameters
    ----------
    source
        Its text.
    name
        For messages: its file.

    Raises
    ------
    SpecError
        When it is no template, or uses what could make structure of a value; names file and line.
    """

    def __init__(self, source: str, name: str) -> None:
        self.name = name
        self.source = source
        _check_characters(source, name)
        try:
            tree = _ENVIRONMENT.parse(source, name, name)
            for statement in tree.body:
                _wrap(statement, printed=True)
            code = _ENVIRONMENT.compile(tree, name, name)
        except TemplateSyntaxError as error:
            raise self.error(error.lineno, error.message or "is no Jinja template") from None
        self._template = Template.from_code(_ENVIRONMENT, code, _ENVIRONMENT.make_globals(None))

    def print(self, variables: Mapping[str, Any]) -> Printed:
        """Render the template.

        Raises
        ------
        SpecError
            When it uses an undefined name, or fails otherwise; names file and line.
        """
        printing = _Printing()
        try:
            text = self._template.render({**variables, _PRINTED_BY_RENDER: printing})
        except UndefinedError as error:
            message = f"{error.message}; say '{{% if … is defined %}}' where it need not be there"
            raise self.error(self._line(error), message) from None
        except (TemplateError, TemplateRuntimeError) as error:
            raise self.error(self._line(error), error.message or type(error).__name__) from None
        except Exception as error:  # an operator's template can make any function of Jinja's fail in its own way
            raise self.error(self._line(error), f"fails: {error or type(error).__name__}") from error
        return Printed(text, tuple(printing.values), printing.token)

    def error(self, line: int, message: str) -> SpecError:
        """Return an error at a line."""
        return SpecError(f"{self.name}, line {line}: {message}")

    def _line(self, error: BaseException) -> int:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == self.name]
        return lines[-1] or 1 if lines else 1


def _check_characters(source: str, name: str) -> None:
    for number, line in enumerate(source.split("\n"), 1):
        if "\x02" in line or "\x03" in line:
            raise SpecError(f"{name}, line {number}: holds a control character; take it out")


def _wrap(node: nodes.Node, printed: bool) -> None:
    """Wrap what a statement prints into the document, and refuse what prints it in another way."""
    if not isinstance(node, _STATEMENTS):
        word = _REFUSED.get(type(node), type(node).__name__.lower())
        raise TemplateSyntaxError(f"'{word}' cannot be used in a template of objects; write it out", node.lineno)
    if isinstance(node, nodes.For) and node.recursive:
        raise TemplateSyntaxError("'recursive' cannot be used in a template of objects; write it out", node.lineno)
    if isinstance(node, nodes.Output):
        if printed:
            node.nodes = _wrapped(node)
        return
    # What a macro or an assignment's block prints is a text, which is printed into the document as a whole.
    inside = printed and not isinstance(node, (nodes.Macro, nodes.AssignBlock))
    for attribute in ("body", "elif_", "else_"):
        for child in getattr(node, attribute, ()):
            _wrap(child, inside)


def _wrapped(output: nodes.Output) -> list[nodes.Expr]:
    return [
        _filtered(nodes.Const(child.data), _MARK, child.lineno)
        if isinstance(child, nodes.TemplateData)
        else _filtered(child, _PRINT, child.lineno)
        for child in output.nodes
    ]


def _filtered(expression: nodes.Expr, name: str, line: int) -> nodes.Expr:
    return nodes.Filter(expression, name, [nodes.Const(line)], [], None, None, lineno=line)


@pass_context  # else Jinja would call it while it compiles
def _print(context: Context, value: Any, line: int) -> str:
    if isinstance(value, Undefined):
        str(value)  # raises what says which name is not there
    printing: _Printing = context[_PRINTED_BY_RENDER]
    return printing.add(value, line)


@pass_context
def _mark(context: Context, text: str, line: int) -> str:
    return f"\x02{line}\x03{text}"


def _from_json(text: Any) -> Any:
    """Read JSON, for parameters of an operator's own that hold lists or objects."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise TemplateRuntimeError(f"from_json was given what is no JSON: {error}") from None


def _environment() -> ImmutableSandboxedEnvironment:
    # Blocks on lines of their own leave nothing behind, as in the templates of the gateway family.
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Callable[..., Any]] = {_PRINT: _print, _MARK: _mark, "from_json": _from_json}
    environment.filters.update(filters)
    return environment


_ENVIRONMENT = _environment()
