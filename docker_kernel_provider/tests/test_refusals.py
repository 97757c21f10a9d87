"""What engines say when they refuse, as Docker 20.10 and 29 said it, and the reasons that a user is told."""

import pytest

from docker_kernel_provider.status import explain_refusal

OCI = "OCI runtime create failed: runc create failed: unable to start container process: "
OLD_TASK = f"failed to create shim task: {OCI}"
NEW_TASK = f"failed to create task for container: {OLD_TASK}error during container init: "
RESOLVE = "failed to resolve reference "
REFUSALS = {
    "ImageNotFound": [
        "manifest for 127.0.0.1:5000/nothing:1 not found: manifest unknown: manifest unknown",
        f'{RESOLVE}"127.0.0.1:5000/nothing:1": 127.0.0.1:5000/nothing:1: not found',
        f'no matching manifest for linux/amd64/v4 in the manifest list entries: {RESOLVE}"r/a:2": r/a:2: not found',
        "No such image: rkp-test/none:1",
        "image with reference a:1 was found but does not match the specified platform: wanted linux/s390x, actual: a",
        "image with reference a:1 was found but does not provide the specified platform (linux/s390x)",
    ],
    "RegistryUnreachable": [
        'Get "http://127.0.0.1:9/v2/": dial tcp 127.0.0.1:9: connect: connection refused',
        f'{RESOLVE}"127.0.0.1:9/x:1": failed to do request: Head "https://127.0.0.1:9/v2/x/manifests/1": '
        "dial tcp 127.0.0.1:9: connect: connection refused",
        f'{RESOLVE}"nosuch.invalid/x:1": failed to do request: Head "https://nosuch.invalid/v2/x/manifests/1": '
        "dial tcp: lookup nosuch.invalid on 192.0.2.53:53: no such host",
    ],
    "PullDenied": [
        'Head "http://127.0.0.1:5000/v2/secret/manifests/1": no basic auth credentials',
        f'{RESOLVE}"127.0.0.1:5000/secret:1": pull access denied, repository does not exist or may require '
        "authorization: authorization failed: no basic auth credentials",
        f'unknown: {RESOLVE}"127.0.0.1:5000/secret:1": unexpected status from HEAD request to '
        "http://127.0.0.1:5000/v2/secret/manifests/1: 401 Unauthorized",
        "unauthorized: authentication required",
    ],
    "NoGPU": [
        'could not select device driver "" with capabilities: [[gpu]]',
        "failed to discover GPU vendor from CDI: no known GPU vendor found",
    ],
    "NetworkNotFound": [
        "network nosuch not found",
        "failed to set up container networking: network nosuch not found",
    ],
    "CommandNotFound": [
        f'{OLD_TASK}exec: "/no/such": stat /no/such: no such file or directory: unknown',
        f'{NEW_TASK}exec: "/no/such": stat /no/such: no such file or directory',
        f'{OLD_TASK}exec: "nosuch": executable file not found in $PATH: unknown',
        f'{NEW_TASK}exec: "nosuch": executable file not found in $PATH',
    ],
    "CommandNotExecutable": [
        f'{OLD_TASK}exec: "/etc/passwd": permission denied: unknown',
        f'{NEW_TASK}exec: "/etc/passwd": permission denied',
    ],
    "MountNotFound": ['invalid mount config for type "bind": bind source path does not exist: /no/such/dir'],
    "PortTaken": [
        "failed to set up container networking: driver failed programming external connectivity on endpoint a (b): "
        "failed to bind host port 127.0.0.1:42795/tcp: address already in use",
    ],
    "EngineRefused": [
        "Minimum memory limit allowed is 6MB",
        "unknown or invalid runtime name: nosuch",
    ],
}


@pytest.mark.parametrize(("reason", "words"), [(reason, said) for reason, words in REFUSALS.items() for said in words])
def test_the_reason_of_a_refusal(reason, words):
    status = explain_refusal(words)
    assert status.reason == reason
    assert words[:200] in status.message
