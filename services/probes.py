"""Trying whether a provider answers with a key: by the list of its models, which costs nothing, else by one word."""

import time

from services.contracts.chat import ChatMessage, ChatRequest
from services.contracts.configurations import ConfigurationTestView
from services.contracts.models import ChatFlags
from services.credentials import Credentials
from services.errors import NotFound, ServiceError, UpstreamTimeout
from services.outbound import Outbound
from services.providers import open_provider
from services.providers.base import Provider, parse_answer
from services.providers.failures import raise_failure
from services.settings import Settings

LONGEST_SECONDS = 15.0
LARGEST_ANSWER_BYTES = 4 * 2**20


def probe(
    credentials: Credentials, settings: Settings, *, language: str, seconds: float = LONGEST_SECONDS
) -> ConfigurationTestView:
    """How the call went. Whatever the provider does is an answer and no error; no key stands in it."""
    # A refusal is what is asked for here, so it is not tried again.
    outbound = Outbound(settings.model_copy(update={"upstream_retries": 0, "upstream_answer_seconds": seconds}))
    started = time.perf_counter()
    try:
        provider = open_provider(credentials.vendor, settings, outbound, credentials)
        ok, detail = True, _tell(_ask(provider, credentials.model, seconds), credentials.model, language)
    except ServiceError as error:
        ok, detail = False, error.say(language)
    return ConfigurationTestView(ok=ok, latency_ms=round((time.perf_counter() - started) * 1000), detail=detail)


def _ask(provider: Provider, model: str, seconds: float) -> set[str]:
    """The models that the provider lists; where it keeps no list, one that has just said a word."""
    try:
        return _list_models(provider, seconds)
    except NotFound:
        if not model:
            raise
    hello = ChatRequest(messages=[ChatMessage(role="user", content="Hi")], max_tokens=1)
    provider.chat(model, ChatFlags()).reply(hello)
    return {model}


def _list_models(provider: Provider, seconds: float) -> set[str]:
    """The names of the models that the provider lists, within *seconds*."""
    deadline, body = time.monotonic() + seconds, b""
    with provider.outbound.open(
        "GET",
        provider.base_url + provider.models_path,
        headers={"Accept-Encoding": "identity", **provider.headers()},
        read_seconds=seconds,
        trusted=provider.trusted,
    ) as response:
        while data := response.read1():
            body += data
            if time.monotonic() > deadline or len(body) > LARGEST_ANSWER_BYTES:
                raise UpstreamTimeout("The provider's answer does not end.", "上游的返回没有结束。")
        if response.status in {404, 405}:
            raise NotFound(
                "There is an answer, but no list of models; check 'base_url', or name a 'model' to try.",
                "该地址有响应，但没有模型列表；请检查'base_url'，或填写'model'以便测试。",
            )
        if response.status != 200:
            raise_failure(response.status, response.headers, body, key=provider.key)
    answer = parse_answer(body, key=provider.key)
    rows = answer.get("data") or (answer.get("output") or {}).get("models") or []
    return {str(row.get("id") or row.get("model") or row.get("name") or "") for row in rows if isinstance(row, dict)}


def _tell(models: set[str], wanted: str, language: str) -> str:
    if wanted and models and wanted not in models:
        en = f"The provider took the key. It does not list '{wanted}', which need not mean that it lacks it."
        return f"服务商已接受密钥，但模型列表中没有'{wanted}'（不一定表示不可用）。" if language == "zh" else en
    return "服务商已接受密钥。" if language == "zh" else "The provider took the key."
