"""The official `volcenginesdkarkruntime` SDK (and OpenAI's) talk to ArkFake."""

import base64
import urllib.error
import urllib.request

import pytest
import volcenginesdkarkruntime._exceptions as ark_errors
from openai import OpenAI
from volcenginesdkarkruntime import Ark
from volcenginesdkarkruntime.types.images import SequentialImageGenerationOptions

from tests.fakes import samples
from tests.fakes.ark import ArkFake

pytest_plugins = ["tests.fakes.fixtures"]

ASK = [{"role": "user", "content": "hi"}]
TOOLS = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in ("f", "g")]
SEEDREAM, SEEDANCE = "doubao-seedream-4-0-250828", "doubao-seedance-1-0-pro-250528"
SEVERAL = {
    "sequential_image_generation": "auto",
    "sequential_image_generation_options": SequentialImageGenerationOptions(max_images=3),
}


@pytest.fixture
def client(ark_fake: ArkFake) -> Ark:
    return Ark(api_key=ark_fake.key, base_url=ark_fake.base_url, max_retries=0, timeout=10)


@pytest.fixture
def openai_client(ark_fake: ArkFake) -> OpenAI:
    return OpenAI(api_key=ark_fake.key, base_url=ark_fake.base_url, max_retries=0, timeout=10)


def streamed(client, model: str):
    text, finish, usage = "", None, None
    chunks = client.chat.completions.create(
        model=model, messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    for chunk in chunks:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return text, finish, usage and usage.total_tokens


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read()


def test_whole_answer_and_explicit_nulls(client, ark_fake):
    answer = client.chat.completions.create(model="doubao-seed", messages=ASK, thinking={"type": "enabled"})
    message = answer.choices[0].message
    assert (message.content, message.reasoning_content) == (samples.TEXT, samples.REASONING)
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3
    sent = ark_fake.requests[-1]
    assert sent.path == "/api/v3/chat/completions" and sent.headers["authorization"] == "Bearer ark-good"
    assert sent.json["thinking"] == {"type": "enabled"} and sent.json["tools"] is None


@pytest.mark.parametrize(
    "behaviour", ["plain", "crlf", "comments", "bytes", "close-delimited", "empty-choices", "no-end"]
)
def test_every_harmless_framing_reads_the_same(client, openai_client, behaviour):
    for sdk in (client, openai_client):
        assert streamed(sdk, f"doubao-seed@{behaviour}") == (samples.TEXT, "stop", 17)


def test_chunks_have_a_role_each_and_no_early_finish(client):
    chunks = list(client.chat.completions.create(model="m", messages=ASK, stream=True))
    assert {chunk.choices[0].delta.role for chunk in chunks} == {"assistant"}
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * len(samples.PIECES) + ["stop"]


def test_reasoning_and_moderation(client):
    chunks = client.chat.completions.create(model="reasoning", messages=ASK, stream=True)
    assert "".join(chunk.choices[0].delta.reasoning_content or "" for chunk in chunks) == samples.REASONING
    hit = client.chat.completions.create(model="moderated", messages=ASK).choices[0]
    assert (hit.finish_reason, hit.moderation_hit_type) == ("content_filter", "severe_violation")


@pytest.mark.parametrize(("model", "count"), [("m", 1), ("parallel-tools", 2)])
def test_tools_come_whole_with_the_finish(client, openai_client, model, count):
    whole = client.chat.completions.create(model=model, messages=ASK, tools=TOOLS).choices[0]
    assert (whole.finish_reason, len(whole.message.tool_calls)) == ("tool_calls", count)
    for sdk in (client, openai_client):
        chunks = list(sdk.chat.completions.create(model=model, messages=ASK, tools=TOOLS, stream=True))
        assert len(chunks) == 1 and chunks[0].choices[0].finish_reason == "tool_calls"
        calls = chunks[0].choices[0].delta.tool_calls
        assert [call.function.arguments for call in calls] == [
            call.arguments for call in samples.tool_calls(["f", "g"], count == 2)
        ]


@pytest.mark.parametrize(
    ("model", "error", "status", "code"),
    [
        ("sensitive", ark_errors.ArkBadRequestError, 400, "SensitiveContentDetected"),
        ("limited-7", ark_errors.ArkRateLimitError, 429, "ModelAccountRpmRateLimitExceeded"),
        ("quota", ark_errors.ArkRateLimitError, 429, "QuotaExceeded"),
        ("overloaded", ark_errors.ArkRateLimitError, 429, "ServerOverloaded"),
        ("overdue", ark_errors.ArkPermissionDeniedError, 403, "AccountOverdueError"),
        ("missing", ark_errors.ArkNotFoundError, 404, "InvalidEndpointOrModel.NotFound"),
        ("error-500", ark_errors.ArkInternalServerError, 500, "InternalServiceError"),
        ("html-502", ark_errors.ArkInternalServerError, 502, None),
    ],
)
def test_errors(client, model, error, status, code):
    for stream in (False, True):
        with pytest.raises(error) as caught:
            client.chat.completions.create(model=model, messages=ASK, stream=stream)
        assert (caught.value.status_code, caught.value.code) == (status, code)


def test_wrong_key_and_missing_messages(ark_fake, client):
    with pytest.raises(ark_errors.ArkAuthenticationError):
        Ark(api_key="bad", base_url=ark_fake.base_url, max_retries=0).chat.completions.create(model="m", messages=ASK)
    with pytest.raises(ark_errors.ArkBadRequestError) as caught:
        client.chat.completions.create(model="m", messages=[])
    assert caught.value.code == "MissingParameter.messages"


def test_retries(openai_client, ark_fake):
    openai_client.with_options(max_retries=2).chat.completions.create(model="flaky-429-2", messages=ASK)
    assert len(ark_fake.requests) == 3


def test_error_frame_and_broken_connection(client):
    with pytest.raises(ark_errors.ArkAPIError):
        streamed(client, "mid-error")
    for model in ("cut", "reset"):
        with pytest.raises(Exception, match=r"(?i)peer|reset|connection|closed"):
            streamed(client, model)


def test_silent_stream_sees_the_client_leave(client, ark_fake):
    stream = client.chat.completions.create(model="silent", messages=ASK, stream=True)
    assert next(stream).choices[0].delta.content == samples.PIECES[0]
    assert not ark_fake.requests[-1].client_left.is_set()
    stream.close()
    assert ark_fake.requests[-1].client_left.wait(5)


def test_images(client, ark_fake):
    answer = client.images.generate(
        model=SEEDREAM, prompt="cat", size="1K", watermark=False, image=["https://a/1.png"], **SEVERAL
    )
    assert [fetched(row.url) for row in answer.data] == [samples.png(1024, 1024, "cat")] * 3
    assert answer.data[0].size == "1024x1024" and answer.usage.generated_images == 3
    assert ark_fake.requests_to("/images/")[0].json["image"] == ["https://a/1.png"]
    inline = client.images.generate(model=SEEDREAM, prompt="cat", size="512x768", response_format="b64_json")
    assert base64.b64decode(inline.data[0].b64_json) == samples.png(512, 768, "cat")


def test_one_image_of_several_fails(client):
    answer = client.images.generate(model=SEEDREAM, prompt="PARTFAIL", size="1K", **SEVERAL)
    assert [bool(row.url) for row in answer.data] == [True, False, True]
    assert answer.data[1].error["code"] == "OutputImageSensitiveContentDetected"
    assert answer.usage.generated_images == 2


def test_streamed_images(client):
    events = list(client.images.generate(model=SEEDREAM, prompt="cat", size="1K", stream=True, **SEVERAL))
    kinds = ["partial_succeeded"] * 3 + ["completed"]
    assert [event.type for event in events] == [f"image_generation.{kind}" for kind in kinds]
    with pytest.raises(ark_errors.ArkAPIError):  # the SDK takes a partial failure for the end
        list(client.images.generate(model=SEEDREAM, prompt="PARTFAIL", size="1K", stream=True, **SEVERAL))


def test_refused_images(client):
    for prompt, size in (("SENSITIVE", "1K"), ("x", "1024*1024"), ("FAIL", "1K")):
        with pytest.raises(ark_errors.ArkBadRequestError):
            client.images.generate(model=SEEDREAM, prompt=prompt, size=size, stream=True)
    with pytest.raises(ark_errors.ArkBadRequestError):
        client.images.generate(model="doubao-seedream-4-5-251128", prompt="x", size="1024x1024")


def test_spoiled_results(client):
    def url_for(word: str) -> str:
        return client.images.generate(model=SEEDREAM, prompt=word, size="1K").data[0].url

    assert fetched(url_for("HTML")).startswith(b"<!DOCTYPE html>")
    assert url_for("LOOPBACK") == "http://127.0.0.1:1/x"
    assert len(fetched(url_for("TRUNCATED"))) < len(samples.png(1024, 1024, "TRUNCATED"))
    assert fetched(url_for("HUGE"))[16:24] == (30000).to_bytes(4, "big") * 2
    for url, status in ((url_for("GONE"), 404), (url_for("x") + "&more=1", 403)):
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetched(url)
        assert caught.value.code == status


def film(client, prompt: str, **more):
    content = [{"type": "text", "text": prompt}]
    return client.content_generation.tasks.create(model=SEEDANCE, content=content, **more)


def test_films(client, ark_fake):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}, "role": "first_frame"}
    content = [{"type": "text", "text": "a cat"}, image]
    tasks = client.content_generation.tasks
    task = tasks.create(model=SEEDANCE, content=content, resolution="720p", ratio="16:9", duration=5, watermark=False)
    assert ark_fake.requests[-1].json["content"] == content
    views = [tasks.get(task_id=task.id) for _ in range(3)]
    assert [view.status for view in views] == ["queued", "running", "succeeded"]
    assert views[0].content is None and fetched(views[2].content.video_url) == samples.mp4()
    assert views[2].usage.total_tokens == 108900
    listed = tasks.list(page_num=1, page_size=10, status="succeeded", task_ids=[task.id, "x"])
    assert (listed.total, listed.items[0].id) == (1, task.id)
    assert ark_fake.requests[-1].query["filter.task_ids"] == [task.id, "x"]
    tasks.delete(task_id=task.id)
    with pytest.raises(ark_errors.ArkNotFoundError):
        tasks.get(task_id=task.id)


def test_films_that_fail_or_never_end(client):
    tasks = client.content_generation.tasks
    failed = film(client, "FAIL")
    assert [tasks.get(task_id=failed.id) for _ in range(3)][-1].error.code == "OutputVideoSensitiveContentDetected"
    endless = film(client, "NEVER")
    assert {tasks.get(task_id=endless.id).status for _ in range(20)} == {"queued", "running"}
    with pytest.raises(ark_errors.ArkBadRequestError):
        film(client, "x", resolution="720P")


def test_cancelled_film(client):
    tasks = client.content_generation.tasks
    task = film(client, "x")
    tasks.get(task_id=task.id)
    tasks.delete(task_id=task.id)
    assert tasks.get(task_id=task.id).status == "cancelled"
    running = film(client, "x")
    assert [tasks.get(task_id=running.id).status for _ in range(2)] == ["queued", "running"]
    with pytest.raises(ark_errors.ArkAPIStatusError):
        tasks.delete(task_id=running.id)


def test_embeddings_and_models(client, openai_client):
    rows = client.embeddings.create(model="e", input=["a", "b"], encoding_format="float").data
    assert [row.embedding for row in rows] == [samples.VECTOR] * 2
    both = client.multimodal_embeddings.create(model="e", input=[{"type": "text", "text": "x"}])
    assert both.data.embedding == samples.VECTOR
    assert SEEDANCE in [model.id for model in openai_client.models.list()]
