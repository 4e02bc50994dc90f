"""Remote services that answer for models, one small class each, found by walking this package."""

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

from services.errors import Unavailable
from services.providers.base import Provider
from services.settings import Settings

if TYPE_CHECKING:
    from services.catalog import Route
    from services.contracts.chat import ChatModel
    from services.contracts.embeddings import EmbeddingModel
    from services.contracts.images import ImageModel
    from services.contracts.video import VideoModel
    from services.credentials import Credentials
    from services.outbound import Outbound


@cache
def all_providers() -> tuple[type[Provider], ...]:
    """Every provider class that has a name of its own."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return tuple(_subclasses(Provider))


def find_provider(name: str) -> type[Provider] | None:
    """The provider called *name*, by its name or an alias."""
    return next((kind for kind in all_providers() if name == kind.name or name in kind.aliases), None)


def providers_with_key(settings: Settings) -> list[str]:
    """The names of the providers that the operator has a key for."""
    return [kind.name for kind in all_providers() if kind.key_setting and getattr(settings, kind.key_setting)]


def open_provider(
    name: str, settings: Settings, outbound: "Outbound", credentials: "Credentials | None" = None
) -> Provider:
    """The provider called *name*, with what a user configured, else with the operator's key and base URL.

    The operator's key never goes to an address that a user chose. Raises Unavailable without a key.
    """
    kind = find_provider(name)
    if kind is None:
        raise KeyError(name)
    if credentials and (own := _open_own(kind, settings, outbound, credentials)):
        return own
    key = getattr(settings, kind.key_setting) if kind.key_setting else ""
    if kind.key_setting and not key:
        setting = kind.key_setting.upper()
        raise Unavailable(
            "There is no key for {provider}; set {setting}, or store a configuration.",
            "未配置 {provider} 的密钥，请设置 {setting} 或保存配置。",
            details={"reason": "no_api_key", "setting": setting},
            provider=kind.name,
            setting=setting,
        )
    if not kind.url_setting and not kind.offline:
        raise Unavailable(
            "There is no address for {provider}; store a configuration with its base_url.",
            "未配置 {provider} 的地址，请保存带有 base_url 的配置。",
            details={"reason": "no_base_url"},
            provider=kind.name,
        )
    base_url = getattr(settings, kind.url_setting) if kind.url_setting else ""
    return kind(outbound, key=key, base_url=base_url, trusted=True)


def _open_own(
    kind: type[Provider], settings: Settings, outbound: "Outbound", credentials: "Credentials"
) -> Provider | None:
    """The provider at the user's address, or with the user's key at the operator's; None where neither is told."""
    key = credentials.key(settings)
    if credentials.base_url:
        return kind(outbound, key=key, base_url=credentials.base_url)
    if key and kind.url_setting:
        return kind(outbound, key=key, base_url=getattr(settings, kind.url_setting), trusted=True)
    return None


def chat_provider(route: "Route", settings: Settings, outbound: "Outbound") -> "ChatModel":
    """The chat model at the end of *route*."""
    return open_provider(route.provider, settings, outbound, route.credentials).chat(route.upstream_model, route.flags)


def embedding_provider(route: "Route", settings: Settings, outbound: "Outbound") -> "EmbeddingModel":
    """The model at the end of *route* that embeds."""
    return open_provider(route.provider, settings, outbound, route.credentials).embeddings(route.upstream_model)


def image_provider(route: "Route", settings: Settings, outbound: "Outbound") -> "ImageModel":
    """The model at the end of *route* that paints."""
    provider = open_provider(route.provider, settings, outbound, route.credentials)
    return provider.images(route.upstream_model, route.row)


def video_provider(route: "Route", settings: Settings, outbound: "Outbound") -> "VideoModel":
    """The model at the end of *route* that films."""
    provider = open_provider(route.provider, settings, outbound, route.credentials)
    return provider.video(route.upstream_model, route.row)


def _subclasses(base: type[Provider]) -> list[type[Provider]]:
    return [found for child in base.__subclasses__() for found in [child, *_subclasses(child)]]
