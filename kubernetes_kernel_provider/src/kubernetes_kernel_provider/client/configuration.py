"""Where the cluster is and as whom we speak to it: the official loaders, with their silences turned into errors."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config
from kubernetes.aio.config.exec_provider import ExecProvider
from kubernetes.aio.config.kube_config import KubeConfigLoader, KubeConfigMerger

from kubernetes_kernel_provider.client.location import NoClusterError, find_kubeconfig
from remote_kernel_provider.errors import ConfigurationError
from remote_kernel_provider.private_loop import within

__all__ = ["ACCOUNT", "PLUGIN_TIMEOUT", "LoadedConfiguration", "NoClusterError", "load_configuration"]

PLUGIN_TIMEOUT = 60.0
"""Seconds that an exec plugin of a kubeconfig may take."""

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its service account."""


@dataclass(frozen=True)
class LoadedConfiguration:
    """A cluster, and who we are to it.

    Parameters
    ----------
    client
        For the official client.
    namespace
        Of the kubeconfig's context, or of this host's own pod.
    source
        The kubeconfig and its context, or `service account`: for messages.
    service_account
        Of this host's own pod; empty elsewhere.
    """

    client: Configuration
    namespace: str
    source: str
    service_account: str = ""


async def load_configuration(context: str = "") -> LoadedConfiguration:
    """Load what `kubectl` would: `$KUBECONFIG`, `~/.kube/config`, or in a pod its service account.

    Parameters
    ----------
    context
        Of the kubeconfig; empty = its current one.

    Raises
    ------
    ConfigurationError
        Says what is missing or what failed; never is a request left to go out anonymous instead.
    """
    paths = find_kubeconfig()
    loaded = await (_from_kubeconfig(paths, context) if paths else asyncio.to_thread(_from_service_account))
    _settle_proxy(loaded)
    # From 3.13 on, Python asks for extensions that the CAs of many clusters lack, and that kubectl does not ask for.
    loaded.client.disable_strict_ssl_verification = True
    return loaded


async def _from_kubeconfig(paths: str, context: str) -> LoadedConfiguration:
    configuration = Configuration()
    try:
        merged = await asyncio.to_thread(KubeConfigMerger, paths)
        loader = _StrictLoader(merged.config, active_context=context or None, config_base_path=None)  # type: ignore[no-untyped-call]
        chosen = loader.current_context
        source = f"kubeconfig {paths}, context '{chosen['name']}'"
        await within(PLUGIN_TIMEOUT, loader.load_and_set(configuration))  # type: ignore[no-untyped-call]
    except asyncio.TimeoutError:
        raise ConfigurationError(f"the exec plugin of {paths} did not end within {PLUGIN_TIMEOUT:g} s") from None
    except (ConfigException, yaml.YAMLError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        # The loader reads documents of any shape as if they had the right one.
        raise ConfigurationError(f"the kubeconfig {paths} cannot be used: {error}; see `kubectl config view`") from None
    return LoadedConfiguration(configuration, str(chosen["context"].get("namespace") or "default"), source)


class _StrictLoader(KubeConfigLoader):
    """The official loader, which only logs that an exec plugin failed, and goes on without credentials."""

    async def load_from_exec_plugin(self) -> bool:
        if await super().load_from_exec_plugin() and {"token", "cert_file"} & vars(self).keys():  # type: ignore[no-untyped-call]
            return True
        plugin = self._user["exec"]  # type: ignore[index]  # the library has no types
        try:
            await ExecProvider(plugin).run()  # once more, for its words
        except (ConfigException, OSError, TypeError) as error:
            hint = f" ({plugin.safe_get('installHint')})" if plugin.safe_get("installHint") else ""
            raise ConfigException(f"its exec plugin '{plugin.safe_get('command')}' failed: {error}{hint}") from None
        raise ConfigException(f"its exec plugin '{plugin['command']}' gave neither a token nor a certificate with key")


def _from_service_account() -> LoadedConfiguration:
    configuration = Configuration()
    try:
        # It reads the rotating token anew every minute.
        load_incluster_config(configuration)
        namespace = (ACCOUNT / "namespace").read_text().strip()
        account = _account_name((ACCOUNT / "token").read_text())
    except (ConfigException, OSError, ValueError, LookupError) as error:
        raise ConfigurationError(
            f"this pod's service account cannot be used: {error}; let the pod have its token "
            "(automountServiceAccountToken: true)"
        ) from None
    return LoadedConfiguration(configuration, namespace, "service account", account)


def _account_name(token: str) -> str:
    """Return the account that a token is of; the cluster checks the token, we only read it."""
    claims = token.split(".")[1]
    subject = str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"])
    return subject.rpartition(":")[2]


def _settle_proxy(loaded: LoadedConfiguration) -> None:
    """Refuse the proxies that the client would ignore, and keep those away that NO_PROXY excludes by a network."""
    host = urlsplit(loaded.client.host)
    proxies = getproxies_environment()
    proxy = loaded.client.proxy or proxies.get(host.scheme, "")
    if not loaded.client.proxy and proxy and _is_excluded(host.hostname or "", proxies.get("no", "")):
        loaded.client.client_session_kwargs = {"trust_env": False}
    elif proxy and urlsplit(proxy).scheme not in ("http", "https"):
        raise ConfigurationError(
            f"the proxy {urlsplit(proxy).scheme}://… of {loaded.source} is of a kind that is not supported; "
            "name an http or https proxy, or none for the cluster (NO_PROXY)"
        )


def _is_excluded(host: str, exceptions: str) -> bool:
    """Whether a list of exceptions names a network that holds an address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False  # names are compared by the client itself
    for word in exceptions.split(","):
        try:
            if address in ipaddress.ip_network(word.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False
