"""Who describes pictures at an address that a user names in full.

The operator's keys go to the operator's own addresses alone; those are also the ones that need no guard.
"""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from services.contracts.annotations import AnnotationRequest
from services.contracts.chat import ChatModel
from services.contracts.models import ChatFlags
from services.errors import Malformed
from services.outbound import Outbound
from services.providers import find_provider
from services.providers.dashscope import MULTIMODAL
from services.settings import Settings

DEMO = "demo"
DEFAULT_MODELS = {
    "openai": "gpt-4-vision-preview",
    "anthropic": "claude-3-opus-20240229",
    "dashscope": "qwen-vl-plus",
    DEMO: DEMO,
}
MESSAGES_PATH = "/v1/messages"
COMPATIBLE_PATH = "/chat/completions"
AIGC_PATH = "/services/aigc/"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where pictures are described: a provider's protocol at one full URL."""

    provider: str
    url: str
    model: str
    trusted: bool
    key: str = field(repr=False)

    @property
    def demo(self) -> bool:
        return self.provider == DEMO


def find(request: AnnotationRequest, settings: Settings) -> Endpoint:
    """The endpoint of *request*. Raises Malformed where it is no URL."""
    if settings.demo_mode or request.endpoint.strip().lower() == DEMO:
        return Endpoint(DEMO, DEMO, request.model or DEMO, trusted=True, key="")
    url = request.endpoint.strip()
    provider = _provider(url)
    operators = _of_operator(settings)
    return Endpoint(
        provider,
        url,
        request.model or settings.default_model or _default_model(url, provider),
        trusted=url in operators,
        key=request.api_key.get_secret_value().strip() or operators.get(url, ""),
    )


def open_chat(endpoint: Endpoint, outbound: Outbound) -> ChatModel:
    """The vision model at *endpoint*. Raises Invalid for a key that is none."""
    kind = find_provider(endpoint.provider)
    assert kind is not None
    provider = kind(outbound, key=endpoint.key, trusted=endpoint.trusted).about("file_names").at(endpoint.url)
    return provider.chat(endpoint.model, ChatFlags(vision=True))


def _provider(url: str) -> str:
    host, path = _parts(url)
    # Both vendors also speak OpenAI's protocol under its own path.
    if path.endswith(COMPATIBLE_PATH):
        return "openai"
    if "anthropic" in host or path.endswith(MESSAGES_PATH):
        return "anthropic"
    return "dashscope" if "dashscope" in host or AIGC_PATH in path else "openai"


def _default_model(url: str, provider: str) -> str:
    host, _ = _parts(url)
    named = next((name for name in ("anthropic", "dashscope") if name in host), provider)
    return DEFAULT_MODELS[named]


def _parts(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Malformed(
            "'api_endpoint' is not a URL.",
            "'api_endpoint' 不是有效的 URL。",
            details={"field": "api_endpoint", "reason": "url_refused"},
        ) from error
    return (parts.hostname or "").lower(), parts.path.rstrip("/")


def _of_operator(settings: Settings) -> dict[str, str]:
    """The operator's keys by the only addresses that they may go to."""
    anthropic = settings.anthropic_base_url.removesuffix("/v1") + MESSAGES_PATH
    found = {
        settings.openai_base_url + COMPATIBLE_PATH: settings.openai_api_key,
        anthropic: settings.anthropic_api_key,
        settings.dashscope_base_url + MULTIMODAL: settings.dashscope_api_key,
    }
    if settings.default_api_endpoint:
        known = found.get(settings.default_api_endpoint, "")
        found[settings.default_api_endpoint] = settings.default_api_key or known
    return found
