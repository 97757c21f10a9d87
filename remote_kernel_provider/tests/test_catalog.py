"""Finding spec files: shadowing, bad files, and reading nothing twice."""

import json
import logging
import os
import time
from pathlib import Path

import pytest

from remote_kernel_provider.errors import NoSuchKernelError
from remote_kernel_provider.host import Host
from remote_kernel_provider.kernelspecs.catalog import SpecCatalog, SpecFile
from remote_kernel_provider.kernelspecs.reader import read_spec
from remote_kernel_provider.local.provider import LocalKernelProvider


@pytest.fixture
def reads():
    return []


@pytest.fixture
def catalog(reads, tmp_path):
    def read(file: Path):
        reads.append(file)
        return read_spec(file, "local")

    folders = [str(tmp_path / "strong"), str(tmp_path / "weak")]
    return SpecCatalog(SpecFile("local_kernel.json", read), folders=lambda: folders)


@pytest.fixture
def write(write_spec, tmp_path):
    def write(folder, name, document=None):
        return write_spec({} if document is None else document, name, folder=tmp_path / folder)

    return write


def test_the_first_folder_on_the_path_wins(catalog, write):
    write("weak", "a", {"display_name": "weak"})
    write("weak", "b")
    write("strong", "a", {"display_name": "strong"})
    specs = catalog.specs()
    assert sorted(specs) == ["a", "b"]
    assert specs["a"].display_name == "strong"


def test_a_bad_file_hides_the_good_one_that_it_shadows_and_no_other(catalog, write):
    write("weak", "a")
    write("weak", "b")
    bad = write("strong", "a", "{")
    assert sorted(catalog.specs()) == ["b"]
    assert [str(bad) in error for error in catalog.errors()] == [True]


def test_unchanged_files_are_read_once(catalog, write, reads):
    file = write("strong", "a", {"display_name": "one"})
    write("strong", "b")
    for _ in range(3):
        catalog.specs()
        catalog.errors()
    assert len(reads) == 2
    file.write_text(json.dumps({"display_name": "another"}))
    assert catalog.specs()["a"].display_name == "another"
    assert len(reads) == 3
    file.unlink()
    assert sorted(catalog.specs()) == ["b"]
    assert len(reads) == 3


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_read_again(catalog, write, tmp_path):
    file = write("strong", "a", {"display_name": "one"})
    catalog.specs()
    status = file.stat()
    other = tmp_path / "other"
    other.write_text(json.dumps({"display_name": "two"}))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)
    assert catalog.specs()["a"].display_name == "two"


def test_a_bad_file_costs_one_warning_until_it_changes(catalog, write, caplog):
    bad = write("strong", "bad", "{")
    write("strong", "good")
    for _ in range(3):
        assert sorted(catalog.specs()) == ["good"]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(bad) in caplog.text
    bad.write_text("{ ")
    catalog.specs()
    assert len(caplog.records) == 2
    bad.write_text("{}")
    assert sorted(catalog.specs()) == ["bad", "good"]
    assert catalog.errors() == []
    assert len(caplog.records) == 2


def test_what_is_no_spec_costs_nothing(catalog, write, tmp_path, caplog):
    write("strong", "good")
    write("strong", ".hidden")
    (tmp_path / "strong" / "a file").write_text("x")
    (tmp_path / "strong" / "empty").mkdir()
    (tmp_path / "strong" / "folder" / "local_kernel.json").mkdir(parents=True)
    (tmp_path / "strong" / "dangling").symlink_to(tmp_path / "nowhere")
    assert sorted(catalog.specs()) == ["good"]
    assert all("folder" in record.getMessage() for record in caplog.records)


@pytest.mark.slow
def test_thousands_are_listed_without_being_read_again(catalog, write, reads):
    for number in range(2000):
        write("strong", f"kernel-{number}")
    assert len(catalog.specs()) == 2000
    began = time.perf_counter()
    assert len(catalog.specs()) == 2000
    again = time.perf_counter() - began
    assert len(reads) == 2000
    assert again < 0.5


class TestTheProvider:
    @pytest.fixture
    def provider(self, make_settings):
        profiles = {"local/good": {"big": {"display_name": "Good, big", "parameters": {"launch_timeout": 99}}}}
        return LocalKernelProvider(Host(make_settings(profiles=profiles)))

    def test_ordinary_kernels_are_offered_unless_a_local_spec_has_their_name(self, provider, write_spec):
        write_spec({"display_name": "ordinary A", "argv": ["a"], "language": "a"}, "a", "kernel.json")
        write_spec({"display_name": "ordinary B", "argv": ["b"], "language": "b"}, "b", "kernel.json")
        write_spec({"display_name": "local B", "argv": ["b"], "language": "b"}, "b")
        found = dict(provider.find_kernels())
        assert found["a"]["display_name"] == "ordinary A"
        assert found["b"]["display_name"] == "local B"

    def test_a_kernel_json_that_names_another_backend_is_not_offered(self, provider, write_spec):
        stanza = {"kernel_provisioner": {"provisioner_name": "kubernetes-provisioner"}}
        write_spec({"argv": [], "metadata": stanza}, "pod", "kernel.json")
        ours = {"kernel_provisioner": {"provisioner_name": "remote-kernel-provisioner"}}
        write_spec({"argv": [], "metadata": ours}, "ours", "kernel.json")
        local = {"process_proxy": {
            "class_name": "enterprise_gateway.services.processproxies.processproxy.LocalProcessProxy"
        }}  # fmt: skip
        write_spec({"argv": ["x", "{connection_file}"], "metadata": local}, "peers", "kernel.json")
        names = {name for name, _ in provider.find_kernels()}
        assert "peers" in names
        assert not names & {"pod", "ours"}

    @pytest.mark.parametrize(
        "document", ["{", "[" * 200_000, "[]", '{"metadata": 5}', '{"metadata": {"x": 1}, "argv": 5}']
    )
    def test_a_bad_kernel_json_hides_nothing(self, provider, write_spec, document):
        write_spec(document, "bad", "kernel.json")
        write_spec({"argv": ["x"]}, "good")
        names = {name for name, _ in provider.find_kernels()}
        assert "good" in names
        assert "bad" not in names

    def test_profiles_are_listed_beside_their_kernel(self, provider, write_spec):
        write_spec({"argv": ["x"], "display_name": "Good"}, "good")
        found = dict(provider.find_kernels())
        assert found["good"]["display_name"] == "Good"
        assert found["good.big"]["display_name"] == "Good, big"
        spec, profile = provider.find("good.big")
        assert (spec.name, profile) == ("good", "big")

    def test_an_unknown_kernel_names_the_known_ones_and_the_fault(self, provider, write_spec):
        write_spec({"argv": ["x"]}, "good")
        bad = write_spec("{", "bad")
        with pytest.raises(NoSuchKernelError) as error:
            provider.find("bad")
        assert "there is no kernel 'local/bad'" in str(error.value)
        assert "local/good" in str(error.value)
        assert str(bad) in str(error.value)
        with pytest.raises(NoSuchKernelError):
            provider.find("good.small")
