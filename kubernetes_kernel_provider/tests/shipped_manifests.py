"""The manifests that operators get, as they are shipped, and what their rules allow."""

from typing import Any

import yaml
from cluster.images import ROOT

DEPLOY = ROOT / "kubernetes_kernel_provider/deploy"
HOST = "remote-kernels-host"


def shipped(kind: str, name: str = HOST) -> dict[str, Any]:
    """An object as it is shipped."""
    files = [file for file in DEPLOY.rglob("*.yaml") if file.name != "kustomization.yaml"]
    documents = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    (found,) = [each for each in documents if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def verbs(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """What rules allow, one by one."""
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def needed(*tables: Any) -> set[tuple[str, str, str]]:
    """What tables of needs ask for, one by one."""
    return verbs([need.rule.to_json() for table in tables for need in table])
