"""The documentation keeps its word: commands parse, examples run, public names are documented, the site builds."""

import importlib
import inspect
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from docker_kernel_provider.installer import DockerSpecInstall
from kernel_launchers.image.installer import command_line as image_bootstrap_parser
from kubernetes_kernel_provider.installer import KubernetesSpecInstall
from remote_kernel_provider.cli.main import PROGRAM, cli
from remote_kernel_provider.configuration import RemoteKernelSettings
from remote_kernel_provider.kernelspecs.installer.listing import SpecList, SpecShow
from remote_kernel_provider.kernelspecs.installer.removal import SpecRemove
from remote_kernel_provider.local.installer import LocalSpecInstall

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples"
EXAMPLE_PROVIDER = EXAMPLES / "nice_kernel_provider"
PAGES = sorted(
    page
    for page in [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *DOCS.rglob("*.md")]
    if not {"_build", "generated"} & set(page.relative_to(ROOT).parts)
)
PACKAGES = ("remote_kernel_provider", "docker_kernel_provider", "kubernetes_kernel_provider", "kernel_launchers")

OF_STOCK_JUPYTER = {"console", "execute", "kernelspec", "lab", "labextension", "nbconvert", "server"}
OF_STOCK_JUPYTER |= {"--paths", "--data-dir", "--runtime-dir"}
OTHER_PROGRAMS = {"curl", "docker", "echo", "export", "kubectl", "papermill", "pip", "pytest", "python"}


def blocks(page: Path, language: str) -> Iterator[str]:
    """Return the fenced blocks of a language."""
    for match in re.finditer(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
        yield match[1]


def commands(page: Path) -> Iterator[list[str]]:
    """Return the simple commands that a page shows, in console blocks and in running text."""
    lines = [line for block in blocks(page, "console") for line in block.replace("\\\n", "").splitlines()]
    typed = [line[2:] for line in lines if line.startswith("$ ")]
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    said = [code for code in re.findall(r"`([^`\n]+)`", prose) if re.match(r"jupyter [a-z-]|make [a-z]", code)]
    for line in typed + [code for code in said if "…" not in code and "<" not in code]:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "|"]:
            if word and set(word) <= set("|;&"):
                if words:
                    yield words
                words = []
            elif words or not re.fullmatch(r"[A-Z_]+=.*", word):
                words.append(word)


SHOWN = [(page, command) for page in PAGES for command in commands(page)]


@pytest.mark.parametrize(
    ("page", "command"), SHOWN, ids=[f"{page.relative_to(ROOT)}: {shlex.join(words)[:60]}" for page, words in SHOWN]
)
def test_a_command_line_parses(page: Path, command: list[str], monkeypatch):
    program, *arguments = command
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert arguments[0] in targets
    elif program == "jupyter":
        check_jupyter(arguments, monkeypatch)
    else:
        assert program.removeprefix(".venv/bin/") in OTHER_PROGRAMS


def check_jupyter(arguments: list[str], monkeypatch):
    name, *rest = arguments
    if name == "remote-kernel":
        check_remote_kernel(rest)
    elif name == "local-kernelspec":
        check_installer(LocalSpecInstall, rest)
    elif name in ("docker-kernelspec", "docker-spec"):
        check_installer(DockerSpecInstall, rest)
    elif name in ("k8s-kernelspec", "k8s-spec"):
        check_installer(KubernetesSpecInstall, rest)
    elif name == "image-bootstrap":
        if rest:
            image_bootstrap_parser().parse_args(rest)  # raises for an option that does not exist
    elif name == "nice-kernelspec":
        monkeypatch.syspath_prepend(EXAMPLE_PROVIDER / "src")
        check_installer(importlib.import_module("nice_kernel_provider.installer").NiceSpecInstall, rest)
    else:
        assert name in OF_STOCK_JUPYTER


def check_remote_kernel(arguments: list[str]):
    if not arguments:
        return
    context = click.Context(cli, info_name=PROGRAM)
    command = cli.get_command(context, arguments[0])
    assert command is not None, f"there is no command {arguments[0]}"
    below = click.Context(command, info_name=arguments[0], parent=context)
    command.make_parser(below).parse_args(arguments[1:])  # raises for an option that does not exist


def check_installer(install, arguments: list[str]):
    subcommands = {cls.subcommand_name: cls for cls in (install, SpecList, SpecShow, SpecRemove)}
    if arguments:
        app = subcommands[arguments[0]](install.kind)
        app.parse_command_line(arguments[1:])  # raises for an option that does not exist


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_in_python_compile(page: Path):
    for block in blocks(page, "python"):
        if ">>>" not in block:
            compile(block, str(page), "exec")


def test_every_reason_is_explained():
    core = ROOT / "remote_kernel_provider/src/remote_kernel_provider"
    sources = "".join(file.read_text() for file in core.rglob("*.py"))
    # As an argument, and as a value of the table from error numbers.
    reasons = {*re.findall(r'reason="(\w+)"', sources), *re.findall(r'errno\.\w+: "(\w+)"', sources), "CommandFailed"}
    explained = (DOCS / "users/failures.md").read_text()
    assert {"OOMKilled", "CommandNotFound"} <= reasons
    assert [reason for reason in sorted(reasons) if f"`{reason}`" not in explained] == []


def public_objects() -> Iterator[tuple[str, object]]:
    for package_name in PACKAGES:
        spec = find_spec(package_name)
        if spec is None or spec.origin is None:  # not installed: at most the folder of that name is seen
            continue
        package = importlib.import_module(package_name)
        yield package_name, package
        for found in pkgutil.walk_packages(package.__path__, f"{package_name}."):
            if re.search(r"\._|__main__$", found.name):
                continue
            module = importlib.import_module(found.name)
            yield found.name, module
            yield from public_members(module, found.name, module.__name__)


def public_members(container: object, name: str, module_name: str) -> Iterator[tuple[str, object]]:
    for key, value in vars(container).items():
        member = getattr(value, "__func__", value)
        if isinstance(member, property):
            member = member.fget
        is_ours = getattr(member, "__module__", None) == module_name and getattr(member, "__name__", "") == key
        if key.startswith("_") or not (is_ours and (inspect.isclass(member) or inspect.isfunction(member))):
            continue
        yield f"{name}.{key}", member
        if inspect.isclass(member):
            yield from public_members(member, f"{name}.{key}", module_name)


def test_every_public_name_has_a_docstring():
    # What overrides a method of another library's may leave its docstring to that.
    without = [name for name, found in public_objects() if not inspect.getdoc(found)]
    overriding = {name for name in without if overrides(name)}
    assert [name for name in without if name not in overriding] == []


def overrides(name: str) -> bool:
    owner_name, _, key = name.rpartition(".")
    module_name, _, class_name = owner_name.rpartition(".")
    owner = getattr(sys.modules.get(module_name), class_name, None)
    return inspect.isclass(owner) and any(key in vars(base) for base in owner.__mro__[1:])


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if ">>>" in "".join(blocks(page, "python"))], ids=lambda page: page.name
)
def test_examples_in_python_do_what_they_show(page: Path, home, tmp_path):
    examples = tmp_path / f"{page.stem}.txt"
    examples.write_text("\n".join(block for block in blocks(page, "python") if ">>>" in block))
    home.run(sys.executable, "-m", "doctest", examples)


@pytest.mark.slow
def test_the_example_of_settings_can_be_read(home):
    home.run("cp", EXAMPLES / "jupyter_remote_kernel_config.py", home.root / "config")
    read = "from remote_kernel_provider.configuration import load_settings\nprint(load_settings().port_range)"
    try:
        assert home.python(read).stdout == "33000..34000\n"
    finally:
        (home.root / "config/jupyter_remote_kernel_config.py").unlink()


@pytest.mark.slow
def test_the_example_of_a_spec_takes_its_parameters(home):
    shutil.copytree(EXAMPLES / "sized", home.specs / "sized")
    code = 'import os; print(os.environ["KERNEL_THREADS"])'
    run = ("jupyter", "remote-kernel", "run", "-k", "local/sized", "-c", code)
    assert home.run(*run).stdout == "2\n"
    assert home.run(*run, "--param", "threads=4").stdout == "4\n"
    refused = home.run(*run, "--param", "threads=9", check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "threads" in refused.stderr


@pytest.fixture(scope="module")
def installed_example(tmp_path_factory) -> Path:
    """A folder for PYTHONPATH in which the example's distribution is installed, entry points and all."""
    pytest.importorskip("hatchling")
    target = tmp_path_factory.mktemp("example")
    source = shutil.copytree(EXAMPLE_PROVIDER, target / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", target / "site", source], check=True, timeout=120)
    return target / "site"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_example_of_a_provider_passes_the_contract(installed_example, home):
    pytest.importorskip("kernel_launchers")
    suite = EXAMPLES / "test_nice_kernel_provider.py"
    # As an author elsewhere has it: without this repository's conftest.py.
    places = ("--confcutdir", EXAMPLES, "--rootdir", home.work)
    options = ("-q", "-x", "-c", "/dev/null", "-p", "no:cacheprovider", *places)
    result = home.run(
        sys.executable, "-m", "pytest", *options, suite, env={"PYTHONPATH": str(installed_example)}, seconds=600
    )
    assert "skipped" not in result.stdout


@pytest.mark.slow
def test_the_example_of_an_installer_installs_what_runs(installed_example, home):
    env = {"PYTHONPATH": str(installed_example)}

    def nice(*arguments: str) -> str:
        code = f"import sys; from nice_kernel_provider.installer import main; sys.exit(main({list(arguments)!r}))"
        return home.run(sys.executable, "-c", code, env=env).stdout

    assert "Installed nice/nice_python3" in nice("install", "--user", "--niceness", "15")
    try:
        code = 'import os; print("niceness", os.nice(0))'
        run = ("jupyter", "remote-kernel", "run", "-k", "nice/nice_python3", "-c", code)
        assert home.run(*run, env=env).stdout == "niceness 15\n"
        assert "niceness:       15" in nice("show", "nice_python3")
    finally:
        nice("remove", "nice_python3")


def test_every_benchmark_is_on_its_page():
    suites = re.findall(r'^    "([a-z-]+)": ', (ROOT / "benchmarks/__main__.py").read_text(), re.MULTILINE)
    page = (DOCS / "contributors/measurements.md").read_text()
    assert suites == re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE) != []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_site_builds_without_a_warning(tmp_path):
    for package in ("sphinx", "myst_parser", "furo", "numpydoc"):
        pytest.importorskip(package, reason=f"{package} is not installed (docs/requirements.txt)")
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    docs = shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("_build", "generated"))
    # Everything but writing the pages, which takes as long again and says nothing more.
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "dummy", docs, tmp_path / "site"]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert built.returncode == 0, built.stderr


def test_the_help_of_each_setting_says_its_default():
    traits = RemoteKernelSettings.class_traits(config=True)
    assert [name for name, trait in traits.items() if "Default:" not in trait.help] == []
