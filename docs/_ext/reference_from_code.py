"""Directives that make the reference from the code: settings, configuration keys, errors, commands, end points, events.

What they show is read from the objects that the program itself uses, so a page cannot say anything else.
"""

from __future__ import annotations

import inspect
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from typing import Any

import click
import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from traitlets import TraitType
from traitlets.utils.importstring import import_item

from kernel_launchers.image.installer import main as image_bootstrap
from kubernetes_kernel_provider.reasons import TABLE
from remote_kernel_provider import errors
from remote_kernel_provider.cli.failures import explain
from remote_kernel_provider.cli.main import COMMANDS, EXIT_STATUS, PROGRAM, cli
from remote_kernel_provider.configuration import ENVIRONMENT_ALIASES, RemoteKernelSettings, environment_names
from remote_kernel_provider.jupyter.failures import LaunchHTTPError
from remote_kernel_provider.jupyter.server.events import SCHEMA_FILE
from remote_kernel_provider.jupyter.server.handlers import openapi
from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS, CONTAINERS, EVERYWHERE, PODS, ConfigKey
from remote_kernel_provider.kernelspecs.installer import SpecKind
from remote_kernel_provider.kernelspecs.installer.listing import SpecList, SpecShow
from remote_kernel_provider.kernelspecs.installer.removal import SpecRemove
from remote_kernel_provider.kernelspecs.peers import LIFECYCLE_ALIASES
from remote_kernel_provider.parameters.resolve import IDENTITY_PARAMETERS, OPERATORS_KEYS


class _Generated(SphinxDirective):
    """A directive without content."""

    has_content = False

    def text(self, text: str) -> list[nodes.Node]:
        """Parse Markdown."""
        return list(self.parse_text_to_nodes(text))

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[int]) -> nodes.table:
        """Make a table whose cells are Markdown."""
        group = nodes.tgroup(cols=len(header))
        group += [nodes.colspec(colwidth=width) for width in widths]
        head, body = nodes.thead(), nodes.tbody()
        head += self._row(header)
        body += [self._row(row) for row in rows]
        group += [head, body]
        table = nodes.table(classes=["generated", "colwidths-given"])
        table += group
        return table

    def _row(self, cells: Sequence[str]) -> nodes.row:
        row = nodes.row()
        for cell in cells:
            entry = nodes.entry()
            entry += self.text(cell)
            row += entry
        return row

    def section(self, title: str, content: Sequence[nodes.Node]) -> nodes.section:
        """Make a section that links can point to."""
        section = nodes.section(ids=[nodes.make_id(title)], names=[title])
        section += nodes.title("", title)
        section += content
        return section


def _code(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words)


class SettingsTable(_Generated):
    """Every setting of `RemoteKernelSettings`: type, default, environment names, meaning."""

    def run(self) -> list[nodes.Node]:
        """Make a definition list whose terms links can point to."""
        found = nodes.definition_list()
        for name, trait in RemoteKernelSettings.class_traits(config=True).items():
            term = nodes.term("", "", nodes.literal(text=name), ids=[f"setting-{name.replace('_', '-')}"])
            facts = f"Value: {_TYPES[type(trait).__name__]}. Environment: {_code(*environment_names(name))}."
            definition = nodes.definition("", *self.text(f"{inspect.cleandoc(str(trait.help))}\n\n{facts}"))
            found += nodes.definition_list_item("", term, definition)
        return [found]


_TYPES = {
    "Bool": "true or false",
    "CaselessStrEnum": "a word",
    "Dict": "an object",
    "Float": "a number",
    "Int": "an integer",
    "List": "a list",
    "Unicode": "a text",
}


class AliasesTable(_Generated):
    """The environment names of the gateway family, and the settings that they mean."""

    def run(self) -> list[nodes.Node]:
        """Make a table."""
        rows = [(_code(*aliases), f"`{setting}`") for setting, aliases in ENVIRONMENT_ALIASES.items()]
        return [self.table(("environment name", "setting"), rows, (70, 30))]


class ConfigKeysTable(_Generated):
    """Every key of a spec's `config`: what it takes, who sets it, where it takes effect."""

    def run(self) -> list[nodes.Node]:
        """Make a table."""
        header = ("key", "meaning", "a client sets it by", "takes effect on")
        return [self.table(header, map(_config_key_cells, CONFIG_KEYS), (25, 32, 29, 14))]


def _config_key_cells(key: ConfigKey) -> Sequence[str]:
    if key.name in OPERATORS_KEYS:
        asked = "the operator alone"
    elif key.variable:
        asked = f"`{key.variable}`{' ✓' if key.free else ''}"
    else:
        asked = ""
    where = _KINDS.get(key.backends) or ", ".join(sorted(key.backends))
    return f"`{key.name}`", f"{key.meaning} ({key.expected})", asked, where


_KINDS = {EVERYWHERE: "all", CONTAINERS: "containers", PODS: "Kubernetes"}


class IdentityParameters(_Generated):
    """The parameters that say who and which."""

    def run(self) -> list[nodes.Node]:
        """Make a paragraph."""
        return self.text(_code(*(f"KERNEL_{name.upper()}" for name in sorted(IDENTITY_PARAMETERS))) + ".")


class LifecycleNamesTable(_Generated):
    """The names by which specs, ours and peers', ask for a lifecycle manager."""

    def run(self) -> list[nodes.Node]:
        """Make a table."""
        rows = [(f"`{said}`", f"`{meant}`") for said, meant in LIFECYCLE_ALIASES.items()]
        return [self.table(("a spec says", "it means"), rows, (75, 25))]


class ErrorsTable(_Generated):
    """Every error: what it means, its HTTP status and the command's exit status."""

    def run(self) -> list[nodes.Node]:
        """Make a table; the tree is in the module's docstring."""
        tree = re.search(r"::\n\n((?:    .*\n)+)", inspect.getdoc(errors) or "")
        assert tree is not None
        drawn = nodes.literal_block(text=inspect.cleandoc(tree[1]))
        header = ("error", "means", "HTTP", "exit status")
        return [drawn, self.table(header, map(_error_cells, _error_classes()), (25, 45, 10, 20))]


def _error_classes() -> Iterator[type[errors.RemoteKernelError]]:
    for cls in vars(errors).values():
        if inspect.isclass(cls) and issubclass(cls, errors.RemoteKernelError):
            yield cls


def _error_cells(cls: type[errors.RemoteKernelError]) -> Sequence[str]:
    failure = explain(cls("…"))
    assert failure is not None
    summary = (inspect.getdoc(cls) or "").partition("\n")[0]
    return f"`{cls.__name__}`", summary, str(LaunchHTTPError(cls("…")).status_code), str(failure.status)


class RemoteKernelCommand(_Generated):
    """The help of `jupyter remote-kernel` and of each of its commands, as it is printed."""

    def run(self) -> list[nodes.Node]:
        """Make one section per command."""
        context = click.Context(cli, info_name=PROGRAM, max_content_width=100, terminal_width=100)
        content: list[nodes.Node] = [*self.text(EXIT_STATUS), nodes.literal_block(text=cli.get_help(context))]
        for name in COMMANDS:
            command = cli.get_command(context, name)
            assert command is not None
            below = click.Context(command, info_name=name, parent=context, max_content_width=100, terminal_width=100)
            content.append(self.section(f"{PROGRAM} {name}", [nodes.literal_block(text=command.get_help(below))]))
        return content


class InstallerCommand(_Generated):
    """The help of an installer's subcommands, as it is printed; its argument is the class of the first of them."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make one section per subcommand."""
        install = import_item(self.arguments[0])
        return [self._subcommand(cls, install.kind) for cls in (install, SpecList, SpecShow, SpecRemove)]

    def _subcommand(self, cls: type[Any], kind: SpecKind) -> nodes.section:
        app = cls(kind)
        with redirect_stdout(io.StringIO()) as printed:
            app.print_help()
        title = f"jupyter {kind.command} {app.subcommand_name}"
        return self.section(title, [nodes.literal_block(text=printed.getvalue().rstrip())])


class ImageBootstrapCommand(_Generated):
    """The help of `jupyter image-bootstrap install`, as it is printed."""

    def run(self) -> list[nodes.Node]:
        """Make one section."""
        with redirect_stdout(io.StringIO()) as printed, suppress(SystemExit):
            image_bootstrap(["install", "--help"])
        return [
            self.section("jupyter image-bootstrap install", [nodes.literal_block(text=printed.getvalue().rstrip())])
        ]


class EndPoints(_Generated):
    """Every end point of the server extension, and what goes in and out, from its OpenAPI file."""

    def run(self) -> list[nodes.Node]:
        """Make one section per end point, and one per object."""
        described = openapi()
        found: list[nodes.Node] = self.text(described["info"]["description"])
        for path, item in described["paths"].items():
            shared = item.get("parameters", [])
            for method in (word for word in ("get", "post", "delete") if word in item):
                title = f"{method.upper()} remote-kernels{path}"
                found.append(self.section(title, self._operation(item[method], shared)))
        for name, schema in described["components"]["schemas"].items():
            found.append(self.section(name, self._schema(schema)))
        return found

    def _operation(self, operation: Mapping[str, Any], shared: Sequence[Mapping[str, Any]]) -> list[nodes.Node]:
        content = self.text(f"{operation['summary']}.\n\n{operation.get('description', '')}")
        parameters = [_resolved(parameter) for parameter in (*shared, *operation.get("parameters", []))]
        if parameters:
            rows = [(f"`{each['name']}`", each["in"], each["description"]) for each in parameters]
            content.append(self.table(("parameter", "in", "meaning"), rows, (20, 15, 65)))
        if "requestBody" in operation:
            content += self.text(f"Takes {_body(operation['requestBody'])}.")
        answers = {status: _resolved(answer) for status, answer in operation["responses"].items()}
        rows = [(status, answer["description"], _body(answer)) for status, answer in answers.items()]
        return [*content, self.table(("status", "meaning", "body"), rows, (15, 60, 25))]

    def _schema(self, schema: Mapping[str, Any]) -> list[nodes.Node]:
        if "properties" not in schema:
            return self.text(f"{_type(schema)}. {schema['description']}")
        rows = [
            (f"`{name}`{'' if name in schema.get('required', ()) else ' (optional)'}", _type(rule), _meaning(rule))
            for name, rule in schema["properties"].items()
        ]
        return [self.table(("field", "type", "meaning"), rows, (25, 25, 50))]


class KernelEvents(_Generated):
    """The fields of the events, from their schema."""

    def run(self) -> list[nodes.Node]:
        """Make a paragraph and a table."""
        schema = yaml.safe_load(SCHEMA_FILE.read_bytes())
        rows = [(f"`{name}`", _type(rule), rule["description"]) for name, rule in schema["properties"].items()]
        said = self.text(f"Schema `{schema['$id']}`, version {schema['version']}. {schema['description']}")
        return [*said, self.table(("field", "type", "meaning"), rows, (20, 30, 50))]


def _resolved(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference inside the OpenAPI file."""
    found: Any = openapi()
    if "$ref" not in part:
        return part
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def _body(part: Mapping[str, Any]) -> str:
    return _type(part["content"]["application/json"]["schema"]) if "content" in part else ""


def _type(rule: Mapping[str, Any]) -> str:
    if "$ref" in rule:
        return str(rule["$ref"].rpartition("/")[2])
    if "enum" in rule:
        return _code(*rule["enum"])
    kind = rule["type"]
    if kind == "array":
        return f"list of {_type(rule['items'])}"
    return " or ".join([kind] if isinstance(kind, str) else kind)


def _meaning(rule: Mapping[str, Any]) -> str:
    default = f" Default: `{json.dumps(rule['default'])}`." if "default" in rule else ""
    return f"{rule.get('description', '')}{default}"


def _skip_traits(app: Sphinx, what: str, name: str, member: object, skip: bool, options: dict[str, Any]) -> bool | None:
    """Leave traits to their own reference: their help is written for terminals."""
    return True if isinstance(member, TraitType) else None


class KubernetesReasons(_Generated):
    """Why a kernel in a pod does not run."""

    def run(self) -> list[nodes.Node]:
        """Make the table."""
        rows = [
            (_code(reason.word), reason.seen, _ends(reason.patience), f"{reason.remedy[0].upper()}{reason.remedy[1:]}.")
            for reason in TABLE
        ]
        return [self.table(("reason", "seen by", "the launch", "what to do"), rows, (18, 30, 14, 38))]


def _ends(patience: float | None) -> str:
    if patience is None:
        return "waits"
    return f"ends after {patience:g} s" if patience else "ends"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    for name, directive in (
        ("settings-table", SettingsTable),
        ("environment-aliases-table", AliasesTable),
        ("config-keys-table", ConfigKeysTable),
        ("identity-parameters", IdentityParameters),
        ("lifecycle-names-table", LifecycleNamesTable),
        ("errors-table", ErrorsTable),
        ("remote-kernel-command", RemoteKernelCommand),
        ("installer-command", InstallerCommand),
        ("image-bootstrap-command", ImageBootstrapCommand),
        ("end-points", EndPoints),
        ("kernel-events", KernelEvents),
        ("kubernetes-reasons", KubernetesReasons),
    ):
        app.add_directive(name, directive)
    app.connect("autodoc-skip-member", _skip_traits)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
