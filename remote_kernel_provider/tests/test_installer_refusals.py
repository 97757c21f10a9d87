"""`jupyter local-kernelspec install`: what it leaves alone, and what it refuses in one sentence."""

import json
import os

import pytest
from toy_kernel import DOCKER_KIND, PNG, TOY, install, ordinary, read, snapshot

from remote_kernel_provider.kernelspecs.installer import NewSpec, stock_document
from remote_kernel_provider.local.installer import main
from remote_kernel_provider.local.provider import LocalKernelProvider


def test_an_existing_spec_is_replaced_only_on_request(kernels_folder, capsys):
    install(kernels_folder, "--kernel", "toy")
    before = snapshot(kernels_folder)
    assert install(kernels_folder, "--kernel", "toy", "--display-name", "New") == 1
    assert f"{kernels_folder}/local_toy exists; replace it with --replace" in capsys.readouterr().err
    assert snapshot(kernels_folder) == before
    assert install(kernels_folder, "--kernel", "toy", "--display-name", "New", "--replace") == 0
    assert LocalKernelProvider().specs()["local_toy"].display_name == "New"
    assert sorted(path.name for path in kernels_folder.iterdir()) == ["local_toy", "toy"]


def test_a_replaced_folder_keeps_what_the_user_put_there_and_no_old_logo(kernels_folder):
    install(kernels_folder, "--kernel", "toy")
    folder = kernels_folder / "local_toy"
    (folder / "notes").mkdir()
    (folder / "notes/why.txt").write_text("mine")
    (folder / "logo-svg.svg").write_text("<svg/>")
    install(kernels_folder, "--kernel", "toy", "--replace")
    assert (folder / "notes/why.txt").read_text() == "mine"
    assert not (folder / "logo-svg.svg").exists()
    assert (folder / "logo-64x64.png").read_bytes() == PNG


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(lambda folder: None, id="ordinary"),
        pytest.param(lambda folder: (folder / "local_kernel.json").write_text("{}"), id="spec beside a stock kernel"),
        pytest.param(lambda folder: (folder / "kernel.json").unlink(), id="no kernel at all"),
        pytest.param(
            lambda folder: [
                (folder / "local_kernel.json").write_text("{}"),
                (folder / "kernel.json").write_text(
                    json.dumps(stock_document(NewSpec("toy", "Toy", "toy", ()), DOCKER_KIND))
                ),
            ],
            id="a sibling's",
        ),
        pytest.param(
            lambda folder: [
                (folder / "local_kernel.json").write_text("{}"),
                (folder / "kernel.json").write_text('{"metadata": []}'),
            ],
            id="not readable as ours",
        ),
    ],
)
def test_a_foreign_folder_is_never_touched(kernels_folder, prepare, capsys):
    ordinary(kernels_folder / "foreign", TOY)
    prepare(kernels_folder / "foreign")
    before = snapshot(kernels_folder)
    for more in ([], ["--replace"]):
        assert install(kernels_folder, "--kernel", "toy", "--kernel-name", "foreign", *more) == 1
        assert (
            f"{kernels_folder}/foreign is not a spec of local-kernelspec and is left alone" in capsys.readouterr().err
        )
    assert snapshot(kernels_folder) == before


def test_names_that_differ_only_in_case_are_refused(kernels_folder, capsys):
    assert install(kernels_folder, "--kernel", "toy", "--kernel-name", "TOY") == 1
    assert "does not tell capital letters from small ones" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a b", "a/b", "..", ".hidden", "käse", "a\n"])
def test_bad_kernel_names_are_refused(kernels_folder, tmp_path, name, capsys):
    before = snapshot(tmp_path)
    assert install(kernels_folder, "--kernel", "toy", f"--kernel-name={name}") == 1
    assert "may hold only letters, digits, '.', '_' and '-'" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["python", "Python"])
def test_the_name_that_jupyter_takes_for_its_own_kernel_is_refused(kernels_folder, tmp_path, name, capsys):
    before = snapshot(tmp_path)
    assert install(kernels_folder, "--kernel", "toy", f"--kernel-name={name}") == 1
    assert "means the ordinary kernel of this machine" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


def test_a_logo_that_cannot_be_read_leaves_nothing(kernels_folder, tmp_path, capsys):
    (kernels_folder / "toy/logo-32x32.png").mkdir()
    before = snapshot(tmp_path)
    assert install(kernels_folder, "--kernel", "toy") == 1
    assert "logo-32x32.png cannot be read: Is a directory" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


def test_an_install_that_fails_half_way_leaves_not_even_the_folders_on_the_way(kernels_folder, tmp_path, capsys):
    before = snapshot(tmp_path)
    # Too long for a file system; noticed only when the folder is made.
    assert main(["install", "--kernel", "toy", f"--prefix={tmp_path}/new/env", "--kernel-name", "n" * 256]) == 1
    assert "cannot be written: File name too long" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


def test_a_replacement_that_fails_leaves_the_old_spec(kernels_folder, capsys):
    install(kernels_folder, "--kernel", "toy")
    os.mkfifo(kernels_folder / "local_toy/pipe")  # a file that cannot be copied
    names = sorted(path.name for path in kernels_folder.rglob("*"))
    spec = (kernels_folder / "local_toy/local_kernel.json").read_text()
    assert install(kernels_folder, "--kernel", "toy", "--display-name", "New", "--replace") == 1
    assert "pipe" in capsys.readouterr().err
    assert sorted(path.name for path in kernels_folder.rglob("*")) == names
    assert (kernels_folder / "local_toy/local_kernel.json").read_text() == spec


def test_a_folder_that_may_not_be_written_is_one_sentence(kernels_folder, capsys):
    kernels_folder.chmod(0o555)
    if os.access(kernels_folder, os.W_OK):
        pytest.skip("this user may write anywhere")
    assert install(kernels_folder, "--kernel", "toy") == 1
    assert "cannot be written: Permission denied; choose another place with --user" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("metadata", "what"),
    [
        ({"kernel_provisioner": {"provisioner_name": "remote-kernel-provisioner"}}, "'remote-kernel-provisioner'"),
        ({"kernel_provisioner": {"provisioner_name": "kubernetes-provisioner"}}, "'kubernetes'"),
        ({"process_proxy": {"class_name": "acme.Proxy"}}, "metadata.process_proxy names 'acme.Proxy'"),
    ],
)
def test_a_kernel_that_somebody_else_runs_is_no_source(kernels_folder, metadata, what, capsys):
    ordinary(kernels_folder / "peer", {**TOY, "metadata": metadata})
    assert install(kernels_folder, "--kernel", "peer") == 1
    error = capsys.readouterr().err
    assert "the kernel 'peer' is no ordinary kernel" in error
    assert what in error
    assert not (kernels_folder / "local_peer").exists()


def test_the_stock_provisioner_by_name_is_ordinary(kernels_folder):
    ordinary(
        kernels_folder / "plain", {**TOY, "metadata": {"kernel_provisioner": {"provisioner_name": "local-provisioner"}}}
    )
    assert install(kernels_folder, "--kernel", "plain") == 0
    spec = read(kernels_folder / "local_plain/local_kernel.json")
    assert list(spec["metadata"]) == ["lifecycle_manager"]


@pytest.mark.parametrize(
    ("document", "sentence"),
    [("{", "is not JSON"), ("[]", "must hold a JSON object"), ('{"argv": "x"}', "'argv' must be"), ("{}", "is empty")],
)
def test_a_malformed_source_is_one_sentence(kernels_folder, document, sentence, capsys):
    (kernels_folder / "toy/kernel.json").write_text(document)
    assert install(kernels_folder, "--kernel", "toy") == 1
    error = capsys.readouterr().err
    assert f"{kernels_folder}/toy/kernel.json" in error
    assert sentence in error
    assert error.count("\n") == 1


def test_a_place_where_jupyter_does_not_look_is_pointed_out(kernels_folder, tmp_path, capsys):
    assert main(["install", "--kernel", "toy", f"--prefix={tmp_path}/aside"]) == 0
    assert f"Jupyter does not look in {tmp_path}/aside/share/jupyter/kernels" in capsys.readouterr().err


def test_a_kernel_that_hides_another_is_pointed_out(kernels_folder, capsys):
    assert main(["install", "--kernel", "toy", "--user", "--kernel-name", "toy"]) == 0
    assert f"is hidden by {kernels_folder}/toy" in capsys.readouterr().err
