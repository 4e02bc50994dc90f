"""The official `dashscope` SDK (its classic interface and its v2 client) talks to DashScopeFake."""

import json
import logging
import threading
import time
import urllib.request
from types import SimpleNamespace

import dashscope
import dashscope.v2.errors as v2_errors
import pytest
import requests
from dashscope import Generation, ImageSynthesis, MultiModalConversation, TextEmbedding, VideoSynthesis
from dashscope.aigc.image_generation import ImageGeneration
from dashscope.audio.asr import Transcription
from dashscope.v2.client import Client

from tests.fakes import samples
from tests.fakes.dashscope import DashScopeFake

pytest_plugins = ["tests.fakes.fixtures"]

ASK = [{"role": "user", "content": "hi"}]
LOOK = [{"role": "user", "content": [{"image": "data:image/png;base64,AAAA"}, {"text": "what"}]}]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("f", "g")
]
MESSAGE = {"messages": ASK, "result_format": "message"}
STREAM = {**MESSAGE, "stream": True, "incremental_output": True}


@pytest.fixture(autouse=True)
def fake(dashscope_fake: DashScopeFake, monkeypatch) -> DashScopeFake:
    """The fake, with the SDK pointed at it and its waits between polls taken away."""
    monkeypatch.setattr(dashscope, "base_http_api_url", dashscope_fake.base_url)
    monkeypatch.setattr(dashscope, "api_key", dashscope_fake.key)
    monkeypatch.setattr("dashscope.client.base_api.time", SimpleNamespace(sleep=lambda _seconds: None, time=time.time))
    logging.getLogger("dashscope").setLevel(logging.CRITICAL)
    return dashscope_fake


@pytest.fixture
def client(fake) -> Client:
    return Client(api_key=fake.key, base_url=fake.base_url, max_retries=0)


def choices(answers) -> list:
    return [answer.output.choices[0] for answer in answers]


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read()


def test_whole_answers(fake):
    answer = Generation.call(model="qwen-plus", **MESSAGE)
    assert (answer.status_code, answer.output.choices[0].message.content) == (200, samples.TEXT)
    assert answer.usage.total_tokens == 16 + len(samples.TEXT)
    sent = fake.requests[-1]
    assert sent.path == "/api/v1/services/aigc/text-generation/generation"
    assert sent.json == {"model": "qwen-plus", "parameters": {"result_format": "message"}, "input": {"messages": ASK}}
    plain = Generation.call(model="qwen-plus", prompt="hi")
    assert plain.output.text == samples.TEXT and plain.output.choices is None


def test_incremental_stream(fake):
    answers = list(Generation.call(model="qwen-plus", **STREAM))
    assert "".join(choice.message.content for choice in choices(answers)) == samples.TEXT
    assert [choice.finish_reason for choice in choices(answers)] == ["null"] * len(samples.PIECES) + ["stop"]
    assert answers[-1].usage.output_tokens == len(samples.TEXT)
    assert fake.requests[-1].headers["x-dashscope-sse"] == "enable"


def test_cumulative_stream_is_the_default(fake):
    texts = [choice.message.content for choice in choices(Generation.call(model="qwen-plus", stream=True, **MESSAGE))]
    assert texts[:2] == [samples.PIECES[0], samples.PIECES[0] + samples.PIECES[1]] and texts[-1] == samples.TEXT
    asked_for = Generation.call(model="qwen-plus", stream=True, incremental_output=False, **MESSAGE)
    assert choices(asked_for)[-1].message.content == samples.TEXT
    assert fake.requests[-1].json["parameters"]["incremental_output"] is True
    plain = list(Generation.call(model="qwen-plus", prompt="hi", stream=True))
    assert (plain[-1].output.text, plain[0].output.finish_reason) == (samples.TEXT, "null")


@pytest.mark.parametrize("behaviour", ["crlf", "no-blank", "comments", "bytes", "close-delimited", "gzip", "old-usage"])
def test_every_harmless_framing_reads_the_same(fake, behaviour):
    answers = list(Generation.call(model=f"qwen-plus@{behaviour}", **STREAM))
    assert "".join(choice.message.content for choice in choices(answers)) == samples.TEXT


def test_gzip_only_where_accepted(fake):
    for accepted, encoding in (("gzip", "gzip"), ("identity", None)):
        headers = {"Authorization": "Bearer sk-good", "Accept": "text/event-stream", "Accept-Encoding": accepted}
        body = {"model": "gzip", "input": {"messages": ASK}}
        answer = requests.post(
            fake.base_url + "/services/aigc/text-generation/generation", json=body, headers=headers, timeout=10
        )
        assert answer.headers.get("content-encoding") == encoding and "你好" in answer.content.decode()


@pytest.mark.parametrize("behaviour", ["null-usage", "empty-choices"])
def test_frames_without_choices_or_usage(fake, behaviour):
    first, *rest = Generation.call(model=behaviour, **STREAM)
    assert (first.output.choices, first.usage.input_tokens) == ([], 0)
    assert "".join(choice.message.content for choice in choices(rest)) == samples.TEXT


@pytest.mark.parametrize("model", ["qwq-plus", "qwen-plus@reasoning"])
def test_thinking(fake, model):
    got = choices(Generation.call(model=model, **STREAM))
    assert "".join(choice.message.reasoning_content for choice in got) == samples.REASONING
    assert "".join(choice.message.content for choice in got) == samples.TEXT
    assert Generation.call(model=model, **MESSAGE).output.choices[0].message.reasoning_content == samples.REASONING


@pytest.mark.parametrize(("model", "count"), [("qwen-plus", 1), ("parallel-tools", 2)])
def test_tools(fake, model, count):
    whole = Generation.call(model=model, tools=TOOLS, **MESSAGE).output.choices[0]
    assert (whole.finish_reason, len(whole.message.tool_calls)) == ("tool_calls", count)
    got = choices(Generation.call(model=model, tools=TOOLS, **STREAM))
    deltas = [choice.message.tool_calls[0] for choice in got]
    assert [delta["id"] for delta in deltas] == ["call_1a", "", "call_2b", ""][: 2 * count]
    assert [choice.finish_reason for choice in got] == ["null"] * (2 * count - 1) + ["tool_calls"]
    arguments = "".join(delta["function"]["arguments"] for delta in deltas if delta["index"] == 0)
    assert json.loads(arguments) == {"city": "杭州"}


def test_forced_tool_ends_with_stop(fake):
    forced = {"type": "function", "function": {"name": "f"}}
    choice = Generation.call(model="qwen-plus", tools=TOOLS, tool_choice=forced, **MESSAGE).output.choices[0]
    assert choice.finish_reason == "stop" and choice.message.tool_calls


def test_parameters_arrive_and_wrong_ones_are_refused(fake):
    good = {"max_tokens": 5, "temperature": 0.3, "top_k": 20, "seed": 7, "stop": ["x"], "enable_search": True}
    assert Generation.call(model="finish-length", **MESSAGE, **good).output.choices[0].finish_reason == "length"
    assert fake.requests[-1].json["parameters"] == {**good, "result_format": "message"}
    for wrong in (
        {"temperature": 2},
        {"top_p": 1.5},
        {"tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
    ):
        assert Generation.call(model="qwen-plus", **MESSAGE, **wrong).status_code == 400
    assert Generation.call(model="qwen-plus", messages=LOOK).status_code == 400
    assert Generation.call(model="stream-only", **MESSAGE).status_code == 400


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("missing", 404, "ModelNotFound"),
        ("error-403", 403, "Model.AccessDenied"),
        ("limited-7", 429, "Throttling.RateQuota"),
        ("quota", 429, "Throttling.AllocationQuota"),
        ("arrears", 400, "Arrearage"),
        ("sensitive", 400, "DataInspectionFailed"),
        ("error-500", 500, "InternalError"),
        ("overloaded", 503, "ModelUnavailable"),
    ],
)
def test_errors(fake, model, status, code):
    answer = Generation.call(model=model, **MESSAGE)
    assert (answer.status_code, answer.code) == (status, code)
    streamed = list(Generation.call(model=model, **STREAM))
    assert [(one.status_code, one.code) for one in streamed] == [(status, code)]


def test_wrong_and_missing_key(fake):
    answer = Generation.call(model="qwen-plus", api_key="sk-bad", **MESSAGE)
    assert (answer.status_code, answer.code) == (401, "InvalidApiKey")
    raw = requests.post(fake.base_url + "/services/aigc/text-generation/generation", json={}, timeout=10)
    assert raw.status_code == 401 and "content-type" not in raw.headers
    assert raw.json()["message"] == "No API-key provided."


def test_errors_within_a_stream(fake):
    answers = list(Generation.call(model="sse-error", **STREAM))
    assert [(answer.status_code, answer.code) for answer in answers] == [(400, "InvalidParameter")]
    answers = list(Generation.call(model="mid-error", **STREAM))
    assert [(answer.status_code, answer.code) for answer in answers] == [(200, ""), (400, "DataInspectionFailed")]


def test_odd_error_bodies(fake):
    with pytest.raises(ValueError):  # the SDK trusts the content type
        list(Generation.call(model="sse-400", **STREAM))
    assert Generation.call(model="openai-error", **MESSAGE).status_code == 404
    assert Generation.call(model="html-502", **MESSAGE).status_code == 502


@pytest.mark.parametrize("model", ["cut", "reset"])
def test_broken_connection(fake, model):
    seen = []
    with pytest.raises(requests.RequestException):
        for answer in Generation.call(model=model, **STREAM):
            seen.append(answer.output.choices[0].message.content)
    assert seen == [samples.PIECES[0]]


def test_silent_stream_sees_the_client_leave(fake):
    session = requests.Session()
    stream = Generation.call(model="silent", session=session, **STREAM)
    assert next(stream).output.choices[0].message.content == samples.PIECES[0]
    assert not fake.requests[-1].client_left.is_set()
    stream.close()
    session.close()
    assert fake.requests[-1].client_left.wait(5)


def test_slow_waits_for_the_test(fake):
    answers = []
    ask = threading.Thread(target=lambda: answers.append(Generation.call(model="slow", **MESSAGE)))
    ask.start()
    request = fake.wait_for_requests(1)[0]
    assert not request.answered.wait(0.1)
    fake.release.set()
    ask.join(5)
    assert answers[0].output.choices[0].message.content == samples.TEXT


def test_vision(fake):
    answer = MultiModalConversation.call(model="qwen-vl-plus", messages=LOOK)
    assert answer.output.choices[0].message.content == [{"text": samples.TEXT}]
    assert answer.usage["image_tokens"] == 1247
    assert fake.requests[-1].json["input"]["messages"] == LOOK
    got = choices(
        MultiModalConversation.call(model="qwen-vl-plus", messages=LOOK, stream=True, incremental_output=True)
    )
    assert [choice.message.content for choice in got] == [[{"text": text}] for text in samples.PIECES] + [[]]
    assert MultiModalConversation.call(model="qwen-vl-plus", messages=ASK).status_code == 400


def test_pictures_at_once(fake):
    ask = [{"role": "user", "content": [{"text": "cat"}]}]
    answer = MultiModalConversation.call(model="qwen-image-plus", messages=ask, size="1328*1328", watermark=False)
    assert fetched(answer.output.choices[0].message.content[0]["image"]) == samples.png(1328, 1328, "cat")
    assert answer.usage["image_count"] == 1
    for wrong in ({"n": 2}, {"size": "1328x1328"}):
        assert MultiModalConversation.call(model="qwen-image-plus", messages=ask, **wrong).status_code == 400
    four = MultiModalConversation.call(model="wan2.7-image", messages=ask, size="1K")
    assert len(four.output.choices[0].message.content) == 4


def test_picture_task(fake):
    done = ImageSynthesis.call(
        model="wan2.2-t2i-flash", prompt="cat", n=2, size="512*768", seed=3, negative_prompt="dog"
    )
    assert done.output.task_status == "SUCCEEDED" and done.usage.image_count == 2
    assert [fetched(row.url) for row in done.output.results] == [samples.png(512, 768, "cat")] * 2
    created, first, second = fake.requests[:3]
    assert created.path.endswith("/text2image/image-synthesis") and created.headers["x-dashscope-async"] == "enable"
    assert created.json["input"] == {"prompt": "cat", "negative_prompt": "dog"}
    assert first.path == second.path == f"/api/v1/tasks/{done.output.task_id}"


def test_picture_edit_task(fake):
    url = "https://example.com/a.png"
    edited = ImageSynthesis.call(model="wanx2.1-imageedit", function="description_edit", prompt="x", base_image_url=url)
    assert edited.output.results[0].url and fake.requests[0].path.endswith("/image2image/image-synthesis")
    assert fake.requests[0].json["input"]["base_image_url"] == url


def test_tasks_that_fail_partly_or_wholly(fake):
    failed = ImageSynthesis.call(model="wan2.2-t2i-flash", prompt="FAIL")
    assert (failed.status_code, failed.output.task_status, failed.output.code) == (
        200,
        "FAILED",
        "DataInspectionFailed",
    )
    partly = ImageSynthesis.call(model="wan2.2-t2i-flash", prompt="PARTFAIL", n=2)
    assert partly.output.task_status == "SUCCEEDED" and partly.output.task_metrics["FAILED"] == 1
    assert [row.get("code") for row in partly.output.results] == [None, "DataInspectionFailed"]
    refused = ImageSynthesis.async_call(model="wan2.2-t2i-flash", prompt="SENSITIVE")
    assert (refused.status_code, refused.code) == (400, "DataInspectionFailed")


def test_task_life(fake):
    task = ImageSynthesis.async_call(model="wan2.2-t2i-flash", prompt="x")
    assert (task.output.task_status, ImageSynthesis.cancel(task).status_code) == ("PENDING", 200)
    assert ImageSynthesis.fetch(task).output.task_status == "CANCELED"
    assert ImageSynthesis.cancel(task).code == "UnsupportedOperation"
    assert ImageSynthesis.fetch("nope").output.task_status == "UNKNOWN"
    assert ImageSynthesis.list().status_code == 200
    endless = ImageSynthesis.async_call(model="wan2.2-t2i-flash", prompt="NEVER")
    assert {ImageSynthesis.fetch(endless).output.task_status for _ in range(20)} == {"RUNNING"}
    fake.polls_pending = 1
    waiting = ImageSynthesis.async_call(model="wan2.2-t2i-flash", prompt="x")
    seen = [ImageSynthesis.fetch(waiting).output.task_status for _ in range(3)]
    assert seen == ["PENDING", "RUNNING", "SUCCEEDED"]


def test_async_header_is_needed_exactly_for_tasks(fake):
    headers = {"Authorization": "Bearer sk-good"}
    body = {"model": "wan2.2-t2i-flash", "input": {"prompt": "x"}}
    assert (
        requests.post(
            fake.base_url + "/services/aigc/text2image/image-synthesis", json=body, headers=headers, timeout=10
        ).status_code
        == 403
    )
    headers["X-DashScope-Async"] = "enable"
    body = {"model": "qwen-image", "input": {"messages": LOOK}}
    path = "/services/aigc/multimodal-generation/generation"
    assert requests.post(fake.base_url + path, json=body, headers=headers, timeout=10).status_code == 403


def test_picture_messages_task(fake):
    ask = [{"role": "user", "content": [{"text": "cat"}]}]
    done = ImageGeneration.wait(ImageGeneration.async_call(model="wan2.6-t2i", messages=ask, n=1, size="640*640"))
    assert fetched(done.output.choices[0].message.content[0]["image"]) == samples.png(640, 640, "cat")
    assert fake.requests[0].path.endswith("/image-generation/generation")


def test_films(fake):
    done = VideoSynthesis.call(
        model="wan2.5-i2v-preview", prompt="x", img_url="https://a/b.png", resolution="720P", duration=5
    )
    assert fetched(done.output.video_url) == samples.mp4() and done.usage["video_duration"] == 5
    assert fake.requests[0].path.endswith("/video-generation/video-synthesis")
    between = {"first_frame_url": "https://a/b.png", "last_frame_url": "https://a/c.png"}
    assert VideoSynthesis.call(model="wan2.2-kf2v-flash", prompt="x", **between).output.video_url
    assert fake.requests_to("/image2video/video-synthesis")


def test_speech_and_transcription(fake):
    spoken = MultiModalConversation.call(model="qwen3-tts-flash", text="你好", voice="Cherry")
    assert fetched(spoken.output.audio.url) == samples.wav()
    frames = list(MultiModalConversation.call(model="qwen3-tts-flash", text="你好", voice="Cherry", stream=True))
    assert [frame.output.finish_reason for frame in frames] == ["null", "null", "stop"] and frames[0].output.audio.data
    heard = MultiModalConversation.call(
        model="qwen3-asr-flash", messages=[{"role": "user", "content": [{"audio": "https://a/b.mp3"}]}]
    )
    assert heard.output.choices[0].message.content == [{"text": samples.TRANSCRIPT}]
    task = Transcription.async_call(model="paraformer-v2", file_urls=["https://a/1.wav"])
    result = Transcription.wait(task=task.output.task_id).output.results[0]
    assert json.loads(fetched(result["transcription_url"]))["transcripts"][0]["text"] == samples.TRANSCRIPT


def test_embeddings_and_models(fake):
    answer = TextEmbedding.call(model="text-embedding-v4", input=["a", "b"])
    assert [row["embedding"] for row in answer.output["embeddings"]] == [samples.VECTOR] * 2
    listed = dashscope.Models.list()
    assert listed.status_code == 200 and listed.output["models"]


def test_v2_client(client, fake):
    answer = client.chat.completions.create(model="qwen-plus", messages=ASK)
    assert answer.choices[0].message.content == samples.TEXT
    chunks = list(client.chat.completions.create(model="qwen-plus", messages=ASK, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert fake.requests[-1].headers["x-dashscope-sse"] == "enable"


def test_v2_errors_and_retries(client, fake):
    with pytest.raises(v2_errors.DashScopeError):
        client.chat.completions.create(model="missing", messages=ASK)
    for model in ("sse-error", "mid-error"):
        with pytest.raises(v2_errors.DashScopeError):
            list(client.chat.completions.create(model=model, messages=ASK, stream=True))
    patient = Client(api_key=fake.key, base_url=fake.base_url, max_retries=2)
    before = len(fake.requests)
    assert patient.chat.completions.create(model="flaky-429-2", messages=ASK).choices
    assert len(fake.requests) - before == 3
