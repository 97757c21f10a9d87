"""In which namespace and under which account a kernel runs."""

import pytest
from pod_launches import HOST, request_of, write_spec

from kubernetes_kernel_provider.manifests import HostAccount, place
from remote_kernel_provider.errors import ParameterError, RefusedError


def placed(tmp_path, settings, values=None, user="ada", host=HOST, **config):
    spec = write_spec(tmp_path, config=config)
    return place(request_of(spec, values, settings=settings, user=user), settings, host)


def test_one_namespace_for_all(tmp_path, settings):
    assert placed(tmp_path, settings).namespace == "team"
    settings.namespace = "kernels"
    assert placed(tmp_path, settings).namespace == "kernels"
    assert placed(tmp_path, settings, namespace="spec").namespace == "spec"
    assert placed(tmp_path, settings, {"namespace": "spec"}, namespace="spec").namespace == "spec"
    assert placed(tmp_path, settings, service_account_name="reader").service_account == "reader"
    settings.allowed_namespaces = ["*"]
    for parameter in ("namespace", "service_account_name"):
        with pytest.raises(RefusedError, match=f"{parameter} 'mine' is refused: all kernels share a namespace"):
            placed(tmp_path, settings, {parameter: "mine"})


def test_a_namespace_of_ones_own(tmp_path, settings):
    settings.shared_namespace = False
    with pytest.raises(RefusedError, match="namespace 'mine' is refused: allowed_namespaces allows none"):
        placed(tmp_path, settings, {"namespace": "mine"})
    settings.allowed_namespaces = ["user-{username}", "lab-*"]
    assert placed(tmp_path, settings, {"namespace": "user-ada"}).namespace == "user-ada"
    assert placed(tmp_path, settings, {"namespace": "lab-7"}).namespace == "lab-7"
    for user in ("bob", "*", "ad?", "[a]da", "Ada", "ADA"):
        with pytest.raises(RefusedError, match="allowed_namespaces allows"):
            placed(tmp_path, settings, {"namespace": "user-ada"}, user=user)
    with pytest.raises(ParameterError, match="expected small letters, digits and '-'"):
        placed(tmp_path, settings, {"namespace": "lab-../x"})
    assert not placed(tmp_path, settings, {"namespace": "lab-7"}).automatic
    asked = {"namespace": "lab-7", "service_account_name": "reader"}
    with pytest.raises(RefusedError, match="allowed_service_accounts allows none"):
        placed(tmp_path, settings, asked)
    settings.allowed_service_accounts = ["reader"]
    assert placed(tmp_path, settings, asked).service_account == "reader"


def test_the_hosts_own_account_is_refused(tmp_path, settings):
    with pytest.raises(RefusedError, match="service account 'jupyter' is refused: it is the host's own"):
        placed(tmp_path, settings, service_account_name="jupyter")
    assert placed(tmp_path, settings, service_account_name="jupyter", namespace="other").service_account == "jupyter"
    assert placed(tmp_path, settings, host=HostAccount("default")).service_account == "default"
