from nice_kernel_provider import NiceKernelProvider

from remote_kernel_provider.testing.contract import LifecycleContract


class TestNice(LifecycleContract):
    provider_class = NiceKernelProvider
    # A kernel that starts in a tenth of a second, for the tests to which it does not matter which kernel it is.
    light = ("python", "-m", "remote_kernel_provider.testing.tiny_kernel", "-f", "{connection_file}")
    crowd_size = 16
    # Of the distribution remote-kernel-launchers.
    reported = (
        "python", "-m", "kernel_launchers.python",
        "--kernel-id", "{kernel_id}", "--port-range", "{port_range}",
        "--response-address", "{response_address}", "--public-key", "{public_key}",
        "--transport-encryption", "{transport_encryption}",
    )  # fmt: skip
