"""Transcripts as text, SubRip and WebVTT."""

import re

import pytest

from services import subtitles
from services.contracts.transcription import Segment, TextFormat, TranscriptionResult


def result(*pieces: tuple[float, float, str]) -> TranscriptionResult:
    segments = [Segment(id=number, start=a, end=b, text=text) for number, (a, b, text) in enumerate(pieces)]
    text = " ".join(segment.text for segment in segments)
    return TranscriptionResult(text=text, language="en", duration=9, segments=segments, model="whisper-base")


def test_subrip_has_numbers_and_commas() -> None:
    written = subtitles.write(result((0, 2.5, "Hello."), (3661.0449, 3662, "你好")), "srt")
    assert written == ("1\n00:00:00,000 --> 00:00:02,500\nHello.\n\n2\n01:01:01,045 --> 01:01:02,000\n你好\n")


def test_webvtt_has_a_head_and_points() -> None:
    written = subtitles.write(result((0, 2.5, "Hello."), (2.5, 3, "You.")), "vtt")
    assert written == ("WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nHello.\n\n00:00:02.500 --> 00:00:03.000\nYou.\n")


def test_plain_text_is_the_text_alone() -> None:
    assert subtitles.write(result((0, 1, "One."), (1, 2, "Two.")), "text") == "One. Two.\n"


@pytest.mark.parametrize(("form", "empty"), [("srt", ""), ("vtt", "WEBVTT\n"), ("text", "")])
def test_nothing_said_is_a_valid_file(form: TextFormat, empty: str) -> None:
    assert subtitles.write(result(), form) == empty


def test_an_empty_line_in_a_text_does_not_end_its_cue() -> None:
    assert "One\n\nTwo" not in subtitles.write(result((0, 1, "One\n\nTwo")), "srt")


def test_what_means_something_in_webvtt_is_escaped() -> None:
    written = subtitles.write(result((0, 1, "a --> b <i>& c")), "vtt")
    assert "a --&gt; b &lt;i&gt;&amp; c" in written
    assert len(re.findall("-->", written)) == 1


def test_a_cue_ends_after_it_begins() -> None:
    assert "00:00:01,000 --> 00:00:01,010" in subtitles.write(result((1, 1, "x")), "srt")
    assert "00:00:00,000 --> 00:00:00,010" in subtitles.write(result((-0.2, -0.1, "x")), "srt")
