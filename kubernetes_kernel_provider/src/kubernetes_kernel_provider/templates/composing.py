"""From what a template printed to objects: YAML is composed as nodes, and only then do values come in.

A value is part of one scalar, whatever it holds. A quoted or block scalar is always text. A plain scalar that is one
printed value and nothing else keeps that value's type, or takes the type that its field declares.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from kubernetes_kernel_provider.templates.compiling import MARK, Printed, PrintedValue
from kubernetes_kernel_provider.templates.field_types import FieldType, type_of
from kubernetes_kernel_provider.templates.rendered import Path, RenderedObject
from remote_kernel_provider.errors import ParameterError, SpecError

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one made of C, where PyYAML has it: ten times as fast."""

_TAG = "tag:yaml.org,2002:"
_TYPED = {f"{_TAG}int": "int", f"{_TAG}float": "float", f"{_TAG}bool": "bool"}
_PARSED = {f"{_TAG}null", *_TYPED}
_TEXTS = {f"{_TAG}str", f"{_TAG}timestamp"}
_WRITTEN_OUT = ("apiVersion", "kind")


def compose_objects(printed: Printed, file: str) -> list[RenderedObject]:
    """Return the objects of all documents that a template printed; empty documents are left out.

    Raises
    ------
    SpecError
        When it is no YAML, or a document is no object; names file and line.
    ParameterError
        When a value does not fit its field; names file, line and field.
    """
    text, lines = _without_marks(printed.text)
    try:
        nodes = [node for node in yaml.compose_all(text, _LOADER) if node is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = lines.of(mark.index) if mark else 1
        raise SpecError(f"{file}, line {line}: is no YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{file}: is no YAML: {error}") from None
    return [_Composer(printed, file, lines).compose(node) for node in nodes if not _is_null(node)]


@dataclass(frozen=True)
class _Lines:
    """From places in what was printed to lines of the template."""

    text: str
    starts: list[int]
    lines: list[int]

    def of(self, index: int) -> int:
        piece = max(0, bisect_right(self.starts, index) - 1)
        return self.lines[piece] + self.text.count("\n", self.starts[piece], index)


def _without_marks(text: str) -> tuple[str, _Lines]:
    pieces, starts, lines, length = [], [0], [1], 0
    for index, piece in enumerate(MARK.split(text)):
        if index % 2:
            starts.append(length)
            lines.append(int(piece))
        else:
            pieces.append(piece)
            length += len(piece)
    plain = "".join(pieces)
    return plain, _Lines(plain, starts, lines)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == f"{_TAG}null"


class _Composer:
    """Makes one document's object."""

    def __init__(self, printed: Printed, file: str, lines: _Lines) -> None:
        self._printed = printed
        self._file = file
        self._template_lines = lines
        self._constructor = yaml.constructor.SafeConstructor()
        self._lines: dict[Path, int] = {}
        self._open: set[int] = set()

    def compose(self, node: yaml.Node) -> RenderedObject:
        if not isinstance(node, yaml.MappingNode):
            raise self._wrong(node, "an object begins with apiVersion and kind; this document does not")
        document = self._object(node, (), self._type(node))
        return RenderedObject(document, self._file, self._lines)

    def _type(self, root: yaml.MappingNode) -> FieldType:
        said = {}
        for key, value in root.value:
            if key.value in _WRITTEN_OUT and isinstance(value, yaml.ScalarNode):
                if self._printed.token.search(value.value):
                    raise self._wrong(value, f"{key.value} has to be written out; a value cannot choose it")
                said[key.value] = value.value
        for name in _WRITTEN_OUT:
            if not said.get(name):
                raise self._wrong(root, f"the object has no {name}; add it")
        return type_of(said["apiVersion"], said["kind"])

    def _value(self, node: yaml.Node, path: Path, expected: FieldType) -> Any:
        self._lines[path] = self._line(node)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path, expected)
        if id(node) in self._open:
            raise self._wrong(node, "holds itself; write it out")
        self._open.add(id(node))
        result: Any
        if isinstance(node, yaml.MappingNode):
            result = self._object(node, path, expected)
        else:
            item = expected.item()
            result = [self._value(child, (*path, index), item) for index, child in enumerate(node.value)]
        self._open.discard(id(node))
        if not expected.accepts(result):
            raise self._wrong(node, f"{_written(path)} takes {expected.expected}")
        return result

    def _object(self, node: yaml.MappingNode, path: Path, expected: FieldType) -> dict[str, Any]:
        self._lines.setdefault(path, self._line(node))
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key in result:
                raise self._wrong(key_node, f"'{key}' is there twice; take one away")
            here = (*path, key)
            result[key] = self._value(value_node, here, expected.field(key))
            self._lines[here] = self._line(key_node)
        # Null says nothing: templates of the gateway family leave `env:` empty.
        return {key: value for key, value in result.items() if value is not None}

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _TEXTS:
            raise self._wrong(node, "a field's name must be a text; quote it")
        if self._printed.token.search(node.value):
            raise self._wrong(node, "a field's name has to be written out; a value cannot choose it")
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode, path: Path, expected: FieldType) -> Any:
        whole = self._printed.token.fullmatch(node.value)
        if whole and (not node.style or node.tag in _TYPED):
            if node.tag in _TYPED:
                expected = FieldType(_TYPED[node.tag])
            return self._typed(self._printed.values[int(whole[1])], path, expected)
        value = self._literal(node, expected)
        if not expected.accepts(value):
            hint = "; quote it" if expected.is_text else "; take the quotes away" if node.style else ""
            raise self._wrong(node, f"{_written(path)} takes {expected.expected}{'' if expected.is_quantity else hint}")
        return expected.fitted(value)

    def _literal(self, node: yaml.ScalarNode, expected: FieldType) -> Any:
        if node.tag in _TEXTS:
            return "".join(self._pieces(node.value, expected))
        if node.tag not in _PARSED:
            raise self._wrong(node, f"'{node.tag.removeprefix(_TAG)}' cannot be used here; write the value out")
        try:
            value = self._constructor.construct_object(node)
        except (ValueError, yaml.YAMLError):
            raise self._wrong(node, f"{node.value!r} cannot be read; quote it if it is a text") from None
        if isinstance(value, float) and not math.isfinite(value):
            raise self._wrong(node, f"{node.value!r} is no number that JSON has; quote it if it is a text")
        return value

    def _pieces(self, text: str, expected: FieldType) -> Iterator[str]:
        """Yield a text with the printed values in it, each as text."""
        for index, piece in enumerate(self._printed.token.split(text)):
            if not index % 2:
                yield piece
                continue
            printed = self._printed.values[int(piece)]
            value = self._plain(printed, "the text")
            yield _data(value if isinstance(value, str) else json.dumps(value), expected)

    def _typed(self, printed: PrintedValue, path: Path, expected: FieldType) -> Any:
        """Return a value that is a field's only content."""
        value = self._plain(printed, _written(path))
        try:
            fitted = expected.fitted(value)
        except ValueError as error:
            raise self._misfit(printed, _written(path), str(error)) from None
        return _data(fitted, expected) if isinstance(fitted, str) else fitted

    def _plain(self, printed: PrintedValue, where: str) -> Any:
        """Return a value as JSON has it."""
        try:
            text = json.dumps(printed.value, allow_nan=False, ensure_ascii=False)
            text.encode()
        except (TypeError, ValueError, RecursionError):
            raise self._misfit(printed, where, "what JSON can hold") from None
        return json.loads(text)

    def _misfit(self, printed: PrintedValue, where: str, expected: str) -> ParameterError:
        shown = repr(printed.value)
        shown = shown if len(shown) <= 80 else f"{shown[:79]}…"
        return ParameterError(
            f"{self._file}, line {printed.line}: {where} takes {expected}, and {shown} is none; give another value"
        )

    def _line(self, node: yaml.Node) -> int:
        return self._template_lines.of(node.start_mark.index)

    def _wrong(self, node: yaml.Node, message: str) -> SpecError:
        return SpecError(f"{self._file}, line {self._line(node)}: {message}")


def _data(text: str, expected: FieldType) -> str:
    """Return a value's text as a field keeps it, where the cluster would take `$(NAME)` in it for a reference."""
    return text.replace("$", "$$") if expected.expanded else text


def _written(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
