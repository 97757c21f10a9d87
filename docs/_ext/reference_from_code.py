"""Directives that make the reference from the code: settings, environment names, configuration keys, errors, commands.

What they show is read from the objects that the program itself uses, so a page cannot say anything else.
"""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from typing import Any

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from traitlets import TraitType

from remote_kernel_provider import errors
from remote_kernel_provider.cli.failures import explain
from remote_kernel_provider.cli.main import COMMANDS, EXIT_STATUS, PROGRAM, cli
from remote_kernel_provider.configuration import ENVIRONMENT_ALIASES, RemoteKernelSettings, environment_names
from remote_kernel_provider.jupyter.failures import LaunchHTTPError
from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS, CONTAINERS, EVERYWHERE, PODS, ConfigKey
from remote_kernel_provider.kernelspecs.installer.listing import SpecList, SpecShow
from remote_kernel_provider.kernelspecs.installer.removal import SpecRemove
from remote_kernel_provider.kernelspecs.peers import LIFECYCLE_ALIASES
from remote_kernel_provider.local.installer import LOCAL_KIND, LocalSpecInstall
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
        table = nodes.table(classes=["generated"])
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
        return [self.table(header, map(_config_key_cells, CONFIG_KEYS), (20, 40, 25, 15))]


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


class LocalKernelspecCommand(_Generated):
    """The help of `jupyter local-kernelspec`'s subcommands, as it is printed."""

    def run(self) -> list[nodes.Node]:
        """Make one section per subcommand."""
        return [self._subcommand(cls) for cls in (LocalSpecInstall, SpecList, SpecShow, SpecRemove)]

    def _subcommand(self, cls: type[Any]) -> nodes.section:
        app = cls(LOCAL_KIND)
        with redirect_stdout(io.StringIO()) as printed:
            app.print_help()
        title = f"jupyter {LOCAL_KIND.command} {app.subcommand_name}"
        return self.section(title, [nodes.literal_block(text=printed.getvalue().rstrip())])


def _skip_traits(app: Sphinx, what: str, name: str, member: object, skip: bool, options: dict[str, Any]) -> bool | None:
    """Leave traits to their own reference: their help is written for terminals."""
    return True if isinstance(member, TraitType) else None


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
        ("local-kernelspec-command", LocalKernelspecCommand),
    ):
        app.add_directive(name, directive)
    app.connect("autodoc-skip-member", _skip_traits)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
