"""The official `openai` SDK talks to OpenAIFake."""

import base64
import threading
import urllib.request

import openai
import pytest
from openai import OpenAI

from tests.fakes import samples
from tests.fakes.openai import OpenAIFake

pytest_plugins = ["tests.fakes.fixtures"]

ASK = [{"role": "user", "content": "hi"}]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("get_weather", "get_forecast")
]


@pytest.fixture
def client(openai_fake: OpenAIFake) -> OpenAI:
    return OpenAI(api_key=openai_fake.key, base_url=openai_fake.base_url, max_retries=0, timeout=10)


def streamed(client: OpenAI, model: str, **more):
    """The text, the last finish reason and the usage of a streamed answer."""
    text, finish, usage = "", None, None
    options = {"include_usage": True}
    for chunk in client.chat.completions.create(model=model, messages=ASK, stream=True, stream_options=options, **more):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return text, finish, usage


def test_whole_answer(client, openai_fake):
    answer = client.chat.completions.create(model="gpt-4o", messages=ASK, extra_body={"top_k": 5})
    assert answer.choices[0].message.content == samples.TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 21
    assert answer._request_id == "req_1"
    sent = openai_fake.requests[-1]
    assert (sent.method, sent.path) == ("POST", "/v1/chat/completions")
    assert sent.headers["authorization"] == "Bearer sk-good"
    assert sent.json == {"messages": ASK, "model": "gpt-4o", "top_k": 5}


def test_text_holds_what_breaks_careless_readers():
    assert "你好" in samples.TEXT and "😀" in samples.TEXT and "\u2028" in samples.TEXT


@pytest.mark.parametrize(
    "behaviour",
    [
        "plain",
        "crlf",
        "comments",
        "bytes",
        "close-delimited",
        "no-content-type",
        "event-names",
        "no-end",
        "usage-each",
        "empty-choices",
    ],
)
def test_every_harmless_framing_reads_the_same(client, behaviour):
    text, finish, usage = streamed(client, f"gpt-4o@{behaviour}")
    assert (text, finish, usage.total_tokens) == (samples.TEXT, "stop", 21)


def test_no_blank_line_breaks_the_sdk(client):
    with pytest.raises(ValueError):
        streamed(client, "no-blank")


def test_null_finish_passes_through(client):
    chunks = list(client.chat.completions.create(model="null-finish", messages=ASK, stream=True))
    assert {chunk.choices[0].finish_reason for chunk in chunks} == {"null", "stop"}


def test_reasoning(client):
    chunks = client.chat.completions.create(model="reasoning", messages=ASK, stream=True)
    deltas = [getattr(chunk.choices[0].delta, "reasoning_content", None) or "" for chunk in chunks]
    assert "".join(deltas) == samples.REASONING
    whole = client.chat.completions.create(model="reasoning", messages=ASK)
    assert whole.choices[0].message.reasoning_content == samples.REASONING


def test_finish_reasons_and_many_deltas(client):
    assert streamed(client, "finish-length")[1] == "length"
    assert streamed(client, "finish-content_filter")[1] == "content_filter"
    assert streamed(client, "count-40")[0].split() == [str(number) for number in range(40)]


@pytest.mark.parametrize(("model", "ids"), [("gpt-4o", ["call_1a"]), ("parallel-tools", ["call_1a", "call_2b"])])
def test_tools(client, model, ids):
    whole = client.chat.completions.create(model=model, messages=ASK, tools=TOOLS)
    assert whole.choices[0].finish_reason == "tool_calls" and whole.choices[0].message.content is None
    assert [call.id for call in whole.choices[0].message.tool_calls] == ids
    with client.chat.completions.stream(model=model, messages=ASK, tools=TOOLS) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert [call.id for call in calls] == ids
    assert [call.function.arguments for call in calls] == [
        call.function.arguments for call in whole.choices[0].message.tool_calls
    ]
    assert calls[0].function.name == "get_weather"


def test_no_second_call_after_a_tool_result(client):
    call = client.chat.completions.create(model="m", messages=ASK, tools=TOOLS).choices[0].message
    result = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "sunny"}
    answer = client.chat.completions.create(model="m", messages=[*ASK, call, result], tools=TOOLS)
    assert answer.choices[0].message.content == samples.TEXT


def test_repeated_empty_ids(client):
    chunks = client.chat.completions.create(model="repeated-id", messages=ASK, tools=TOOLS, stream=True)
    deltas = [chunk.choices[0].delta.tool_calls for chunk in chunks]
    assert [calls[0].id for calls in deltas if calls] == ["call_1a", "", ""]


@pytest.mark.parametrize(
    ("model", "error", "status", "code"),
    [
        ("missing", openai.NotFoundError, 404, "model_not_found"),
        ("error-400", openai.BadRequestError, 400, "invalid_value"),
        ("error-403", openai.PermissionDeniedError, 403, "model_not_available"),
        ("error-409", openai.ConflictError, 409, "invalid_value"),
        ("error-422", openai.UnprocessableEntityError, 422, "invalid_value"),
        ("error-500", openai.InternalServerError, 500, None),
        ("overloaded", openai.InternalServerError, 503, None),
        ("quota", openai.RateLimitError, 429, "insufficient_quota"),
        ("limited-7", openai.RateLimitError, 429, "rate_limit_exceeded"),
        ("sensitive", openai.BadRequestError, 400, "content_policy_violation"),
        ("flat-error", openai.BadRequestError, 400, "InvalidParameter"),
        ("string-error", openai.BadRequestError, 400, None),
        ("html-502", openai.InternalServerError, 502, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(client, model, error, status, code, stream):
    with pytest.raises(error) as caught:
        client.chat.completions.create(model=model, messages=ASK, stream=stream)
    assert (caught.value.status_code, caught.value.code) == (status, code)


def test_wrong_key_and_wrong_parameters(client):
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="sk-bad").chat.completions.create(model="m", messages=ASK)
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=ASK, temperature=3)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="gpt-5", messages=ASK, max_tokens=3)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="m", messages=[])


def test_retry_after_in_both_forms(client):
    for model in ("limited-7", "limited-date-7"):
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model=model, messages=ASK)
        value = caught.value.response.headers["retry-after"]
        assert value == "7" if model == "limited-7" else value.endswith("GMT")


def test_retries(client, openai_fake):
    patient = client.with_options(max_retries=2)
    for status in (408, 429, 500, 503):
        answer = patient.chat.completions.create(model=f"flaky-{status}-2", messages=ASK)
        assert answer.choices[0].message.content == samples.TEXT
    assert [request.headers["x-stainless-retry-count"] for request in openai_fake.requests] == ["0", "1", "2"] * 4
    with pytest.raises(openai.RateLimitError):
        patient.chat.completions.create(model="quota", messages=ASK)
    assert len(openai_fake.requests) == 13


def test_error_frame_in_the_stream(client):
    with pytest.raises(openai.APIError) as caught:
        streamed(client, "mid-error")
    assert caught.value.type == "server_error"


@pytest.mark.parametrize("model", ["cut", "reset"])
def test_broken_connection(client, model):
    seen = []
    with pytest.raises(openai.APIConnectionError):
        for chunk in client.chat.completions.create(model=model, messages=ASK, stream=True):
            seen.append(chunk.choices[0].delta.content)
    assert seen == ["", samples.PIECES[0]]
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model=model, messages=ASK)


def test_no_finish_ends_without_a_word(client):
    assert streamed(client, "no-finish") == (samples.TEXT, None, None)


def test_slow_waits_for_the_test(client, openai_fake):
    answers = []
    ask = threading.Thread(target=lambda: answers.append(streamed(client, "slow")))
    ask.start()
    request = openai_fake.wait_for_requests(1)[0]
    assert not request.answered.wait(0.1) and not answers
    openai_fake.release.set()
    ask.join(5)
    assert answers[0][0] == samples.TEXT and request.answered.wait(5)


def test_silent_stream_sees_the_client_leave(client, openai_fake):
    stream = client.chat.completions.create(model="silent", messages=ASK, stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", samples.PIECES[0]]
    request = openai_fake.requests[-1]
    assert not request.client_left.is_set()
    stream.close()
    assert request.client_left.wait(5)


def test_slow_sees_the_client_leave(client, openai_fake):
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).chat.completions.create(model="slow", messages=ASK)
    assert openai_fake.requests[-1].client_left.wait(5)


def test_stepped(client, openai_fake):
    stream = client.chat.completions.create(model="stepped", messages=ASK, stream=True)
    text = "".join(next(stream).choices[0].delta.content for _ in range(2))
    for _ in samples.PIECES[1:]:
        openai_fake.step()
        text += next(stream).choices[0].delta.content
    assert text == samples.TEXT


def test_image_parts_arrive(client, openai_fake):
    url = "data:image/png;base64," + base64.b64encode(samples.png()).decode()
    parts = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": url, "detail": "low"}}]
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": parts}])
    assert openai_fake.requests[-1].json["messages"][0]["content"] == parts


def test_embeddings(client, openai_fake):
    many = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert openai_fake.requests[-1].json["encoding_format"] == "base64"
    assert [row.embedding for row in many.data] == [samples.VECTOR] * 2
    assert client.embeddings.create(model="floats-anyway", input="a").data[0].embedding == samples.VECTOR
    assert client.embeddings.create(model="e", input="a", encoding_format="float").data[0].embedding == samples.VECTOR


def test_models(client, openai_fake):
    assert "gpt-4o" in [model.id for model in client.models.list()]
    assert client.models.retrieve("ft:a/b:c").id == "ft:a/b:c"
    assert openai_fake.requests[-1].path == "/v1/models/ft:a%2Fb:c"
    assert client.models.delete("m1").deleted


def test_rate_headers(client):
    raw = client.chat.completions.with_raw_response.create(model="m", messages=ASK)
    assert raw.headers["x-ratelimit-remaining-requests"] == "499"


def test_missing_fields_do_not_raise(client):
    answer = client.chat.completions.create(model="minimal", messages=ASK)
    assert answer.choices[0].message.content == "x" and answer.usage is None
    assert client.chat.completions.create(model="empty-choices", messages=ASK).choices == []


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read()


def test_images(client):
    painted = client.images.generate(model="gpt-image-2", prompt="a cat", n=2, size="1024x1536")
    pictures = [base64.b64decode(row.b64_json) for row in painted.data]
    assert pictures == [samples.png(1024, 1536, "a cat")] * 2 and painted.usage.total_tokens == 105
    linked = client.images.generate(model="dall-e-3", prompt="a cat", size="256x256", response_format="url")
    assert fetched(linked.data[0].url) == samples.png(256, 256, "a cat")
    with pytest.raises(openai.BadRequestError):
        client.images.generate(model="gpt-image-2", prompt="x", response_format="url")
    with pytest.raises(openai.BadRequestError):
        client.images.generate(model="gpt-image-2", prompt="SENSITIVE things")


def test_streamed_images(client):
    events = list(
        client.images.generate(model="gpt-image-2", prompt="x", size="256x256", stream=True, partial_images=2)
    )
    kinds = ["partial_image", "partial_image", "completed"]
    assert [event.type for event in events] == [f"image_generation.{kind}" for kind in kinds]
    assert base64.b64decode(events[-1].b64_json) == samples.png(256, 256, "x")


def test_image_edits(client, openai_fake):
    one = ("a.png", samples.png(), "image/png")
    client.images.edit(model="gpt-image-2", image=one, prompt="p")
    assert [part.name for part in openai_fake.requests[-1].form if part.filename] == ["image"]
    edited = client.images.edit(model="gpt-image-2", image=[one, one], mask=one, prompt="p", n=2)
    parts = openai_fake.requests[-1].form
    assert sorted(part.name for part in parts if part.filename) == ["image[]", "image[]", "mask"]
    assert {part.data for part in parts if part.filename} == {samples.png()}
    assert len(edited.data) == 2
    with pytest.warns(DeprecationWarning):
        assert client.images.create_variation(image=one).data[0].url


@pytest.mark.parametrize("form", ["json", "verbose_json", "text", "srt", "vtt"])
def test_transcriptions(client, form):
    more = {"timestamp_granularities": ["word", "segment"]} if form == "verbose_json" else {}
    sound = ("a.wav", samples.wav(), "audio/wav")
    heard = client.audio.transcriptions.create(model="whisper-1", file=sound, response_format=form, **more)
    assert samples.TRANSCRIPT in (heard if isinstance(heard, str) else heard.text)
    if form == "verbose_json":
        assert (heard.words[0].word, heard.segments[0].end) == (samples.TRANSCRIPT, 1.5)


def test_streamed_transcription_and_speech(client):
    sound = ("a.wav", samples.wav(), "audio/wav")
    events = list(client.audio.transcriptions.create(model="gpt-transcribe", file=sound, stream=True))
    assert events[-1].text == samples.TRANSCRIPT
    assert client.audio.speech.create(model="tts-1", voice="alloy", input="x").read() == samples.wav()


def test_files_and_fine_tuning(client):
    assert client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune").status == "processed"
    assert [row.id for row in client.files.list(limit=2)] == ["file-1", "file-2", "file-3"]
    assert client.files.content("file-9").text == "{}\n{}\n"
    assert client.files.delete("file-9").deleted
    jobs = client.fine_tuning.jobs
    assert jobs.create(model="gpt-4o-mini", training_file="file-1").status == "queued"
    assert [job.status for job in jobs.list()] == ["queued", "succeeded"]
    assert [jobs.cancel("j").status, jobs.pause("j").status, jobs.resume("j").status] == [
        "cancelled",
        "paused",
        "queued",
    ]
    assert [event.message for event in jobs.list_events("j", limit=2)] == ["Step 3", "Step 2", "Step 1"]
    assert [row.step_number for row in jobs.checkpoints.list("j")] == [10]
