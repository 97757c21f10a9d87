"""`jupyter nice-kernelspec`: makes specs of low priority from ordinary kernels."""

from traitlets import Integer

from nice_kernel_provider import NiceKernelProvider
from remote_kernel_provider.kernelspecs.installer import NewSpec, SpecInstall, SpecKind, find_source, run_installer

NICE_KIND = SpecKind(
    provider_id=NiceKernelProvider.id,
    spec_file=NiceKernelProvider.kernel_file,
    lifecycle_class=NiceKernelProvider.default_lifecycle,
    command="nice-kernelspec",
    config_keys=NiceKernelProvider.config_keys,
)


class NiceSpecInstall(SpecInstall):
    """Installs a kernel of low priority, made from an ordinary kernel."""

    kind = NICE_KIND
    niceness = Integer(10, min=0, max=19, help="Priority that the kernel gives up.").tag(config=True, option=True)

    def default_spec(self):
        """Return the ordinary Python kernel with `nice` in front."""
        source = find_source()
        return NewSpec(
            kernel_name=f"nice_{source.name}",
            display_name=f"{source.spec.display_name} at low priority",
            language=source.spec.language,
            argv=source.argv,
            interrupt_mode=source.spec.interrupt_mode,
            metadata=source.metadata,
            config={"niceness": self.niceness},
            files=source.logos(),
        )


def main(argv=None):
    """Run `jupyter nice-kernelspec`."""
    return run_installer(NiceSpecInstall, argv)
