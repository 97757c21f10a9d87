"""What `doctor` says of a cluster's version."""

import pytest

from kubernetes_kernel_provider.checks import check_version


@pytest.mark.parametrize("version", ["v1.27.0", "v1.36.3", "v1.30.1-gke.5+abc", "1.29+", "v2.0.0", "", "unknown"])
def test_versions_that_do(version):
    assert check_version(version) == []


@pytest.mark.parametrize("version", ["v1.26.15", "1.9", "v0.99.0"])
def test_versions_that_are_too_old(version):
    (finding,) = check_version(version)
    assert version in finding.seen
    assert finding.remedy == "update the cluster to 1.27 or later"
