"""Pictures and sounds through OpenAI's package: made, changed, heard and said; whole, streamed and asynchronous."""

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from PIL import Image

from tests.fakes import samples
from tests.live import LiveServer
from tests.openai.conftest import CLASSIFY, FACES, HEAR, SPEAK, Target, async_sdk, needed
from tests.sounds import SENTENCE, words_of

GENERATE, EDIT = "POST /v1/images/generations", "POST /v1/images/edits"
TRANSCRIBE, SPEECH = "POST /v1/audio/transcriptions", "POST /v1/audio/speech"
PICTURE = samples.png(96, 64)


@pytest.fixture(scope="session")
def ear(target: Target) -> str:
    return needed(target, HEAR)


@pytest.fixture(scope="session")
def voice(target: Target) -> str:
    return needed(target, SPEAK)


@pytest.fixture(scope="session")
def wav(sdk: openai.OpenAI, voice: str) -> bytes:
    """A sentence that the service itself says."""
    return sdk.audio.speech.create(model="tts-1", voice=voice, input=SENTENCE, response_format="wav").content


def painted(answer: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json)))


@pytest.mark.proves(GENERATE, "base64, addresses that can be fetched, sizes, several at once")
def test_pictures(sdk: openai.OpenAI) -> None:
    made = sdk.images.generate(model="demo", prompt="A red fox", size="512x512", response_format="b64_json", n=2)
    assert painted(made).size == (512, 512) and len(made.data or []) == 2 and made.created
    linked = sdk.images.generate(model="demo", prompt="A red fox", response_format="url").data
    assert linked and linked[0].url
    assert httpx.get(linked[0].url).content.startswith(b"\x89PNG")


@pytest.mark.proves(GENERATE, "as gpt-image asks: no `response_format`, `output_format`, `quality`, `background`")
def test_pictures_as_newer_models_are_asked(sdk: openai.OpenAI) -> None:
    made = sdk.images.generate(
        model="demo", prompt="Sea", size="auto", output_format="webp", quality="high", background="opaque", user="me"
    )
    assert painted(made).format == "WEBP" and made.output_format == "webp"


@pytest.mark.proves(GENERATE, "streamed")
def test_streamed_pictures(sdk: openai.OpenAI) -> None:
    events = list(sdk.images.generate(model="demo", prompt="Sea", stream=True, partial_images=0))
    assert [event.type for event in events] == ["image_generation.completed"]
    assert Image.open(io.BytesIO(base64.b64decode(events[0].b64_json))).format == "PNG"


@pytest.mark.proves(GENERATE, "asynchronous")
def test_asynchronous_pictures(target: Target) -> None:
    async def paint() -> Any:
        async with async_sdk(target) as client:
            return await client.images.generate(model="demo", prompt="Sea", response_format="b64_json")

    assert painted(asyncio.run(paint())).format == "PNG"


@pytest.mark.proves(EDIT, "one file, a list of one, streamed")
def test_edits(sdk: openai.OpenAI) -> None:
    file = ("a.png", PICTURE, "image/png")
    for image in (file, [file]):
        made = sdk.images.edit(model="demo", image=image, prompt="Night")  # type: ignore[call-overload]
        assert painted(made).size == (96, 64)
    events = list(sdk.images.edit(model="demo", image=file, prompt="Night", stream=True))
    assert [event.type for event in events] == ["image_edit.completed"]


@pytest.mark.proves(EDIT, "errors: no picture, several, a mask, an unknown model")
def test_errors_of_pictures(sdk: openai.OpenAI) -> None:
    file = ("a.png", PICTURE, "image/png")
    with pytest.raises(openai.APIStatusError) as raised:
        sdk.images.edit(model="demo", image=("a.png", b"words", "image/png"), prompt="x")
    assert raised.value.status_code == 415
    for wrong in ({"image": [file, file]}, {"image": file, "mask": file}, {"image": file, "size": "7x7"}):
        with pytest.raises(openai.BadRequestError) as refused:
            sdk.images.edit(model="demo", prompt="x", **wrong)  # type: ignore[call-overload]
        assert refused.value.param and refused.value.request_id
    with pytest.raises(openai.NotFoundError):
        sdk.images.generate(model="nobody-has-this", prompt="x")


@pytest.mark.proves(TRANSCRIBE, "json, text, srt, vtt")
def test_a_sentence_is_heard(sdk: openai.OpenAI, ear: str, wav: bytes) -> None:
    told = sdk.audio.transcriptions.create(model="whisper-1", file=("a.wav", wav))
    assert words_of(told.text) == words_of(SENTENCE)
    assert told.usage and told.usage.type == "duration"
    forms: dict[str, str] = {"text": "The", "srt": "1\n00:00:0", "vtt": "WEBVTT\n\n00:00:0"}
    for form, begins in forms.items():
        written: Any = sdk.audio.transcriptions.create(model=ear, file=("a.wav", wav), response_format=form)  # type: ignore[call-overload]
        assert isinstance(written, str) and written.startswith(begins)


@pytest.mark.proves(
    TRANSCRIBE, "verbose_json with the times of segments and words, `prompt`, `temperature`, `language`"
)
def test_a_sentence_is_heard_word_by_word(sdk: openai.OpenAI, ear: str, wav: bytes) -> None:
    def hear(**more: Any) -> Any:
        return sdk.audio.transcriptions.create(
            model=ear,
            file=("a.wav", wav),
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
            language="en",
            prompt="A fox and a dog.",
            **more,
        )

    told = hear()
    assert told.language == "english" and float(told.duration) > 1
    # A small model may say its prompt again after the sentence, so only the beginning is compared.
    sentence = words_of(SENTENCE)
    assert told.words and words_of(" ".join(word.word for word in told.words))[: len(sentence)] == sentence
    assert told.segments and told.segments[0].tokens and told.segments[0].avg_logprob < 0
    assert hear(temperature=0.2).segments[0].temperature == pytest.approx(0.2)


@pytest.mark.proves(TRANSCRIBE, "streamed")
def test_a_sentence_is_heard_as_a_stream(sdk: openai.OpenAI, ear: str, wav: bytes) -> None:
    events = list(sdk.audio.transcriptions.create(model=ear, file=("a.wav", wav), stream=True))
    assert [event.type for event in events[-1:]] == ["transcript.text.done"]
    said = "".join(event.delta for event in events if event.type == "transcript.text.delta")
    assert said and words_of(said) == words_of(events[-1].text) == words_of(SENTENCE)  # type: ignore[union-attr]


@pytest.mark.proves(TRANSCRIBE, "asynchronous")
def test_a_sentence_is_heard_asynchronously(target: Target, ear: str, wav: bytes) -> None:
    async def hear() -> str:
        async with async_sdk(target) as client:
            return (await client.audio.transcriptions.create(model=ear, file=("a.wav", wav))).text

    assert words_of(asyncio.run(hear())) == words_of(SENTENCE)


@pytest.mark.proves("POST /v1/audio/translations", "json and verbose_json")
def test_a_sentence_is_translated(sdk: openai.OpenAI, ear: str, wav: bytes) -> None:
    assert sdk.audio.translations.create(model=ear, file=("a.wav", wav)).text
    told: Any = sdk.audio.translations.create(model=ear, file=("a.wav", wav), response_format="verbose_json")
    assert told.language == "english" and told.text


@pytest.mark.proves(TRANSCRIBE, "errors: an empty file, no sound, an unknown model, language or format")
def test_errors_of_sounds(sdk: openai.OpenAI, ear: str, wav: bytes) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"file": ("a.wav", b"")}, "file"),
        ({"file": ("a.wav", bytes(range(1, 200)))}, "file"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"language": "tlh"}, "language"),
        ({"language": "Klingon!"}, "language"),
        ({"temperature": 3}, "temperature"),
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities"),
    ]
    for fields, param in wrong:
        with pytest.raises(openai.BadRequestError) as raised:
            sdk.audio.transcriptions.create(**{"model": ear, "file": ("a.wav", wav), **fields})
        assert raised.value.param == param, fields
    with pytest.raises(openai.APIStatusError) as refused:
        sdk.audio.transcriptions.create(model=ear, file=("a.wav", b"words alone"))
    assert refused.value.status_code == 415
    with pytest.raises(openai.NotFoundError):
        sdk.audio.transcriptions.create(model="nobody-has-this", file=("a.wav", wav))
    with pytest.raises(openai.NotFoundError):
        sdk.audio.transcriptions.create(model="nobody-has-this", file=("a.wav", wav), stream=True)


@pytest.mark.parametrize(
    ("form", "kind", "begins"),
    [
        ("mp3", "audio/mpeg", (b"ID3", b"\xff\xfb", b"\xff\xf3")),
        ("opus", "audio/opus", (b"OggS",)),
        ("aac", "audio/aac", (b"\xff\xf1", b"\xff\xf9")),
        ("flac", "audio/flac", (b"fLaC",)),
        ("wav", "audio/wav", (b"RIFF",)),
        ("pcm", "audio/pcm", (b"",)),
    ],
    ids=["mp3", "opus", "aac", "flac", "wav", "pcm"],
)
@pytest.mark.proves(SPEECH, "mp3, opus, aac, flac, wav, pcm")
def test_speech_in_all_formats(
    sdk: openai.OpenAI, voice: str, tmp_path: Path, form: Any, kind: str, begins: tuple[bytes, ...]
) -> None:
    said = sdk.audio.speech.with_raw_response.create(model="tts-1", voice="onyx", input="Hi.", response_format=form)
    assert said.headers["content-type"] == kind and said.content.startswith(begins) and len(said.content) > 500


@pytest.mark.proves(SPEECH, "sent as it is said; `speed`; as events")
def test_speech_comes_in_pieces(sdk: openai.OpenAI, voice: str) -> None:
    asked: dict[str, Any] = {"model": voice, "voice": "alloy", "input": "One sentence. " * 4, "response_format": "pcm"}
    with sdk.audio.speech.with_streaming_response.create(**asked) as answer:
        pieces = list(answer.iter_bytes())
    slow, fast = b"".join(pieces), sdk.audio.speech.create(**asked, speed=2).content
    assert answer.headers["transfer-encoding"] == "chunked"
    assert len(fast) == pytest.approx(len(slow) / 2, rel=0.1)
    events = sdk.audio.speech.create(**asked, stream_format="sse").text
    assert "speech.audio.delta" in events and "speech.audio.done" in events


@pytest.mark.proves(SPEECH, "errors: an unknown voice, model or format, nothing to say")
def test_errors_of_speech(sdk: openai.OpenAI, voice: str) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"voice": "nobody"}, "voice"),
        ({"response_format": "midi"}, "response_format"),
        ({"speed": 9}, "speed"),
        ({"input": ""}, "input"),
        ({"input": "…"}, "input"),
    ]
    for fields, param in wrong:
        with pytest.raises(openai.BadRequestError) as raised:
            sdk.audio.speech.create(**{"model": "tts-1", "voice": voice, "input": "Hi.", **fields})
        assert raised.value.param == param, fields
    with pytest.raises(openai.NotFoundError):
        sdk.audio.speech.create(model="nobody-has-this", voice="alloy", input="Hi.")


@pytest.mark.proves("GET /v1/audio/voices", "through the package's `get`")
def test_voices_are_listed(sdk: openai.OpenAI, voice: str) -> None:
    told: Any = sdk.get("/audio/voices", cast_to=object)
    assert told["data"][0]["installed"] and voice in {each["id"] for each in told["data"]}
    assert told["aliases"]["onyx"] == "male"


@pytest.mark.proves("POST /v1/vision/classify", "a picture in JSON, through the package's `post`")
def test_what_a_picture_shows(sdk: openai.OpenAI, target: Target) -> None:
    needed(target, CLASSIFY)
    url = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    told: Any = sdk.post("/vision/classify", body={"image": url, "top_k": 3}, cast_to=object)
    assert len(told["classifications"]) == 3
    with pytest.raises(openai.BadRequestError):
        sdk.post("/vision/classify", body={"image": "words"}, cast_to=object)


@pytest.mark.proves("POST /v1/vision/faces", "a picture in JSON, through the package's `post`")
def test_faces_on_a_picture(sdk: openai.OpenAI, target: Target) -> None:
    needed(target, FACES)
    url = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    told: Any = sdk.post("/vision/faces", body={"image": {"image_url": url}}, cast_to=object)
    assert told["faces"] == [] and told["width"] == 96


@pytest.mark.proves("POST /v1/vision/detect", "a model that is not installed: 503 and the command")
def test_detection_is_not_installed(sdk: openai.OpenAI, own: LiveServer) -> None:
    url = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    with pytest.raises(openai.InternalServerError) as raised:
        sdk.post("/vision/detect", body={"image": url, "model": "rtdetr-v2-r18"}, cast_to=object)
    assert raised.value.code == "model_not_installed" and "flask models pull" in raised.value.message
