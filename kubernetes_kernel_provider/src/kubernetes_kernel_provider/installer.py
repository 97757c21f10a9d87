# PYTHON_ARGCOMPLETE_OK: argcomplete looks for this mark in the module of a console script.
"""`jupyter k8s-kernelspec`, and `jupyter k8s-spec` as peers call it: specs of kernels in pods."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import partial
from importlib.metadata import entry_points

from traitlets import Bool, Enum, Unicode

from kubernetes_kernel_provider.template_files import (
    PACKAGED_SCRIPT,
    PACKAGED_TEMPLATE,
    SCRIPT,
    TEMPLATE,
    template_file,
)
from remote_kernel_provider.configuration import load_settings
from remote_kernel_provider.errors import ConfigurationError, SpecError
from remote_kernel_provider.host import LIFECYCLE_GROUP
from remote_kernel_provider.kernelspecs.config_keys import CONFIG_KEYS, PODS
from remote_kernel_provider.kernelspecs.installer import (
    ConfigValue,
    ContainerSpecInstall,
    NewSpec,
    SpecKind,
    run_installer,
)
from remote_kernel_provider.kernelspecs.spec import KernelSpec


def _find_fault(spec: KernelSpec) -> str:
    """Say what is wrong with the spec's template, or that nothing here could run it."""
    # Imported here: completion and help need no Jinja.
    from kubernetes_kernel_provider.templates import load_template

    try:
        load_template(template_file(spec))
    except SpecError as error:
        return str(error)
    return _missing(spec.lifecycle_manager)


def _missing(lifecycle_manager: str) -> str:
    if entry_points(group=LIFECYCLE_GROUP, name=lifecycle_manager):
        return ""
    return f"it cannot be launched here: no lifecycle manager '{lifecycle_manager}' is installed"


KUBERNETES_KIND = SpecKind(
    provider_id="k8skp",
    spec_file="k8skp_kernel.json",
    lifecycle_class="kubernetes_kernel_provider.KubernetesLifecycleManager",
    command="k8s-kernelspec",
    config_keys=tuple(key for key in CONFIG_KEYS if key.backends & PODS),
    find_fault=_find_fault,
)

SPARK_OPTIONS = ("spark", "crd", "spark_home", "spark_init_mode", "extra_spark_opts", "executor_image_name")
"""Options of the part that runs Spark."""


class KubernetesSpecInstall(ContainerSpecInstall):
    """Installs a kernel that runs in a pod of a Kubernetes cluster, with a template of the pod to edit."""

    kind = KUBERNETES_KIND
    place = "Kubernetes"
    name_prefix = "k8skp"
    """What the names of its kernels begin with."""
    examples = inspect.cleandoc("""
        jupyter k8s-kernelspec install
        jupyter k8s-kernelspec install --language R --image-name foo/my_r_kernel_image:v4_0
        jupyter k8s-kernelspec install --kernel-name big --param memory=48Gi --param cpus=8 --dry-run
        """)

    connection_file = ConfigValue("connection_file")
    reset_template = Bool(
        False, help="With --replace: give up an edited template of the pod for the one of this version."
    ).tag(config=True, option=True)
    spark = Bool(False, help="The kernel uses Spark on Kubernetes.").tag(config=True, option=True)
    crd = Bool(
        False, help="The kernel is a custom resource; with --spark, a SparkApplication of the SparkOperator."
    ).tag(config=True, option=True)  # fmt: skip
    spark_home = Unicode("", help="Folder of Spark, where spark-submit is found.").tag(config=True, option=True)
    spark_init_mode = Enum(
        ("lazy", "eager", "none"),
        default_value=None,
        allow_none=True,
        help="When a Spark context is made: lazy, eager or none.",
    ).tag(config=True, option=True)
    extra_spark_opts = Unicode("", help="More options of spark-submit.").tag(config=True, option=True)
    executor_image_name = Unicode("", help="Image of Spark's executors; --image-name is the driver's.").tag(
        config=True, option=True
    )

    def run(self) -> None:
        """Install."""
        super().run()
        if not self.dry_run and (fault := _missing(self.kind.lifecycle_manager)):
            self.log.warning("%s", fault[:1].upper() + fault[1:])

    def default_spec(self) -> NewSpec:
        """Return the language's kernel, with the template of its pod.

        Raises
        ------
        ConfigurationError
            When it is to use Spark.
        """
        for option in SPARK_OPTIONS:
            if getattr(self, option) not in (False, "", None, "none"):
                raise ConfigurationError(
                    f"--{option.replace('_', '-')} needs the Spark part of kubernetes-kernel-provider, which this "
                    "version has not; leave it out for a kernel without Spark"
                )
        spec = super().default_spec()
        spec = replace(spec, kernel_name=self.name_prefix + spec.kernel_name.removeprefix(self.place.lower()))
        template = {TEMPLATE: PACKAGED_TEMPLATE.read_bytes()}
        if self.reset_template:
            return replace(spec, files={**spec.files, **template})
        return replace(spec, editable_files=template)

    def preview(self, spec: KernelSpec) -> str:
        """Return the objects of a launch, as YAML."""
        from kubernetes_kernel_provider.preview import preview_launch, preview_route

        settings = load_settings()
        template = PACKAGED_TEMPLATE if self.reset_template else template_file(spec)
        objects = preview_launch(self.kind.provider_id, spec, settings, template)
        return f"# What a launch would create, from {template}:\n# {preview_route(settings)}\n{objects}"


class PeersKubernetesSpecInstall(KubernetesSpecInstall):
    """Installs a kernel that runs in a pod of a Kubernetes cluster, with a template of the pod to edit."""

    kind = replace(KUBERNETES_KIND, command="k8s-spec")
    name_prefix = "k8s"
    examples = KubernetesSpecInstall.examples.replace(KUBERNETES_KIND.command, kind.command)

    def default_spec(self) -> NewSpec:
        """Return the same, with the script that peers' specs have."""
        spec = super().default_spec()
        return replace(spec, files={**spec.files, SCRIPT: PACKAGED_SCRIPT.read_bytes()})


main = partial(run_installer, KubernetesSpecInstall)
"""`jupyter k8s-kernelspec`; see `run_installer`."""
k8s_spec = partial(run_installer, PeersKubernetesSpecInstall)
"""`jupyter k8s-spec`; see `run_installer`."""
