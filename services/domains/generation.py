"""Texts after prompts: each prompt is worded as its model was trained, and all of them are written side by side."""

import time
from collections.abc import Iterator
from string import Formatter
from typing import TYPE_CHECKING

import orjson

from services import routes, text_models
from services.catalog import LOCAL, Route
from services.compute.registry import function
from services.contracts.chat import ChatMessage, ChatRequest
from services.contracts.generation import MOST_TEXTS, Generated, Piece, Sampling, WriteRequest
from services.contracts.models import CatalogRow
from services.errors import Cancelled, Invalid, NotFound
from services.providers import chat_provider
from services.side_by_side import Open, stream_all
from services.usage import UsageEntry

if TYPE_CHECKING:
    from services.assemble import Services

HOW_TRAINED = "training.json"
# llama.cpp reads 32 bits, and takes the largest number of them for none.
SEEDS = 2**31


def generate(
    prompts: list[str], sampling: Sampling, *, services: "Services", owner: str, request_id: str = "", field: str
) -> Generated:
    """The texts after each of *prompts*, whole. *field* is what the caller calls them, for errors.

    Raises NotFound for a model that nobody has, and where none is named and *owner* trained none.
    """
    started = time.perf_counter()
    route, path = find(sampling.model_path, services=services, owner=owner)
    count = sampling.num_return_sequences
    texts: list[list[str]] = [[] for _ in range(len(prompts) * count)]
    asked = WriteRequest(model=route.upstream_model, prompts=prompts, sampling=sampling, field=field)
    for batch in _written(asked, route, services, owner, request_id):
        for piece in batch:
            texts[piece.index].append(piece.text)
    joined = ["".join(parts) for parts in texts]
    grouped = [joined[at : at + count] for at in range(0, len(joined), count)]
    return Generated(path, grouped, round(time.perf_counter() - started, 3))


def stream(
    prompt: str, sampling: Sampling, *, services: "Services", owner: str, request_id: str = ""
) -> Iterator[list[Piece]]:
    """The texts after *prompt* piece by piece. Closing it ends the work. Raises what `generate` raises."""
    route, _ = find(sampling.model_path, services=services, owner=owner)
    asked = WriteRequest(model=route.upstream_model, prompts=[prompt], sampling=sampling)
    yield from _written(asked, route, services, owner, request_id)


def find(model_path: str | None, *, services: "Services", owner: str) -> tuple[Route, str]:
    """Who writes for *owner*, and what people call the model: the path of one that was trained."""
    if not model_path:
        newest = services.trained.newest(owner=owner)
        if newest is None:
            raise NotFound(
                "You have no trained model yet; train one by POST /api/v1/train, or name any chat model in "
                "'model_path', such as smollm2-135m-instruct.",
                "您还没有训练好的模型；请通过 POST /api/v1/train 训练，或在 'model_path' 中指定对话模型，"
                "例如 smollm2-135m-instruct。",
                details={"field": "model_path", "reason": "no_trained_model"},
            )
        model_path = newest.id
    route = routes.resolve(model_path, "chat", services=services, owner=owner)
    if not _is_trained(route):
        return route, route.name
    return route, services.trained.find(route.upstream_model, owner=owner).path


@function(needs_engine=True, lane="gpu")
def write(request: WriteRequest, *, services: "Services") -> Iterator[list[Piece]]:
    """The texts of a local model; runs where the engines are."""
    row = routes.local_row(request.model, services)
    template = _prompt_template(row, services)
    with text_models.opened(row, services=services) as model:
        ask = model.stream if template is None else model.continue_text
        worded = [prompt if template is None else _worded(template, prompt) for prompt in request.prompts]
        try:
            yield from _all(ask, worded, request.sampling, at_once=services.settings.chat_slots)
        except Invalid as error:
            raise _of_prompt(error, request.field, row, services.settings.chat_context_tokens) from error


def _written(
    asked: WriteRequest, route: Route, services: "Services", owner: str, request_id: str
) -> Iterator[list[Piece]]:
    """What was asked for, from wherever *route* leads, and counted for *owner*."""
    _check_count(asked)
    used = UsageEntry(owner, request_id, "chat", route.provider, route.name)
    started = time.perf_counter()
    if _is_trained(route):
        services.trained.note_use(route.upstream_model)
    try:
        for batch in _open(asked, route, services):
            for piece in batch:
                if used.first_token_ms is None:
                    used.first_token_ms = _milliseconds(started)
                if piece.usage:
                    used.prompt_tokens += piece.usage.prompt_tokens
                    used.completion_tokens += piece.usage.completion_tokens
            yield batch
    except GeneratorExit:
        used.outcome = "client_left"
        raise
    except Exception as error:
        used.outcome = error.reason if isinstance(error, Cancelled) else type(error).__name__
        raise
    finally:
        used.total_ms = _milliseconds(started)
        services.usage.add(used)


def _open(asked: WriteRequest, route: Route, services: "Services") -> Iterator[list[Piece]]:
    if route.provider == LOCAL:
        return services.calls.stream("generation.write", asked, services=services)
    model = chat_provider(route, services.settings, services.outbound)
    return _all(model.stream, asked.prompts, asked.sampling, at_once=services.settings.chat_slots)


def _all(ask: Open, prompts: list[str], sampling: Sampling, *, at_once: int) -> Iterator[list[Piece]]:
    """Every text after every one of *prompts*."""
    count = sampling.num_return_sequences
    requests = [_request(prompt, sampling, at * count + n) for at, prompt in enumerate(prompts) for n in range(count)]
    for batch in stream_all(ask, requests, at_once=at_once):
        yield [Piece(at, delta.text, delta.finish_reason, delta.usage) for at, delta in batch]


def _request(prompt: str, sampling: Sampling, number: int) -> ChatRequest:
    return ChatRequest(
        messages=[ChatMessage(role="user", content=prompt)],
        max_tokens=sampling.max_length,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        # With one seed for all of them, all texts of a prompt would be one.
        seed=None if sampling.seed is None else (sampling.seed + number) % SEEDS,
    )


def _prompt_template(row: CatalogRow, services: "Services") -> str | None:
    """How prompts were worded for what was trained on a template; None for one that was trained on turns."""
    path = services.catalog.path(row) / HOW_TRAINED
    if not row.folder or not path.is_file():
        return None
    told = orjson.loads(path.read_bytes()).get("prompt_template")
    return told if isinstance(told, str) else None


def _worded(template: str, prompt: str) -> str:
    """*prompt* in the first column of *template*, the others empty; after it where it has none."""
    names = [name for _, name, _, _ in Formatter().parse(template) if name]
    filled = template.format_map({name: prompt if name == names[0] else "" for name in names})
    return filled if names else filled + prompt


def _of_prompt(error: Invalid, field: str, row: CatalogRow, context: int) -> Invalid:
    """An engine's error about messages in the words of who sent prompts."""
    if error.field != "messages":
        return error
    if error.details["reason"] == "context_length":
        return Invalid(
            field,
            "The prompt is longer than what {model} reads, {context} tokens at most with its answer; shorten it.",
            "提示词超出 {model} 的上下文长度（含回答最多 {context} 个 token），请缩短提示词。",
            reason="context_length",
            model=row.id,
            context=context,
        )
    # Without values a sentence is taken as it is.
    return Invalid(field, error.sentences["en"], error.sentences["zh"], reason=error.details["reason"])


def _check_count(asked: WriteRequest) -> None:
    if len(asked.prompts) * asked.sampling.num_return_sequences > MOST_TEXTS:
        raise Invalid(
            "num_return_sequences",
            "These are more than {most} texts; send fewer prompts or ask for fewer sequences.",
            "生成的文本总数超过 {most}，请减少提示词或返回序列的数量。",
            most=MOST_TEXTS,
        )


def _is_trained(route: Route) -> bool:
    return route.row is not None and route.row.folder is not None


def _milliseconds(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
