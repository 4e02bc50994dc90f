"""Events are the same however their bytes are framed and wherever they are cut."""

import pytest

from services.errors import UpstreamFailed
from services.providers.sse import LARGEST_EVENT_BYTES, MOST_EVENT_LINES, Event, EventReader


def read(*chunks: bytes) -> list[Event]:
    """Every event of *chunks*, fed one after another."""
    reader = EventReader()
    return [event for chunk in chunks for event in reader.feed(chunk)] + reader.end()


def values(*chunks: bytes) -> list[object]:
    return [event.data for event in read(*chunks)]


PLAIN = 'data: {"a":"你好\u2028😀"}\n\n: keep-alive\n\nevent: x\ndata: {"b":2}\n\ndata: [DONE]\n\n'
WANTED = [Event("", {"a": "你好\u2028😀"}, None), Event("x", {"b": 2}, None), Event("", "[DONE]", None)]
FRAMINGS = {
    "lf": PLAIN.encode(),
    "crlf": PLAIN.replace("\n", "\r\n").encode(),
    "cr": PLAIN.replace("\n", "\r").encode(),
    "bom": b"\xef\xbb\xbf" + PLAIN.encode(),
    "no space": PLAIN.replace(": ", ":").encode(),
    "no blank lines": PLAIN.replace("\n\n", "\n").encode(),
    "no last blank line": PLAIN.rstrip("\n").encode(),
}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_cut_anywhere_changes_nothing(framing: str) -> None:
    whole = FRAMINGS[framing]
    for place in range(len(whole) + 1):
        assert read(whole[:place], whole[place:]) == WANTED, place


@pytest.mark.parametrize("framing", FRAMINGS)
def test_bytes_come_one_by_one(framing: str) -> None:
    assert read(*(bytes([byte]) for byte in FRAMINGS[framing])) == WANTED


def test_what_is_whole_comes_at_once() -> None:
    reader = EventReader()
    assert reader.feed(b'data: 1\n\ndata: 2\n\ndata: {"c"') == [Event("", 1, None), Event("", 2, None)]
    assert reader.feed(b":3}\n\n") == [Event("", {"c": 3}, None)]


def test_dashscopes_frames_carry_a_status_in_a_comment() -> None:
    frames = (
        b'id:1\nevent:result\n:HTTP_STATUS/200\ndata:{"a":1}\n\nid:2\nevent:error\n:HTTP_STATUS/400\ndata:{"b":2}\n\n'
    )
    wanted = [Event("result", {"a": 1}, 200), Event("error", {"b": 2}, 400)]
    assert read(frames) == wanted
    assert read(frames.replace(b"\n\n", b"\n")) == wanted


def test_only_one_space_is_the_frames() -> None:
    assert values(b"data:  two\n\n") == ["two"]
    assert values(b'data:" x"\n\n') == [" x"]


def test_data_in_several_lines_is_one_event() -> None:
    assert values(b'data: {"a":\ndata: 1}\n\n') == [{"a": 1}]


@pytest.mark.parametrize(
    "noise", [b"", b"\n\n\n", b": only a comment\n\n", b"data:\n\n", b"retry: 5\n\n", b"garbage\n\n"]
)
def test_noise_is_no_event(noise: bytes) -> None:
    assert values(noise, b"data: 1\n\n", noise) == [1]


def test_the_name_of_an_event_does_not_stay() -> None:
    assert [event.name for event in read(b"event: a\ndata: 1\n\ndata: 2\n\n")] == ["a", ""]


def test_text_that_is_no_json_stays_text() -> None:
    assert values("data: plain 文\n\n".encode()) == ["plain 文"]
    assert values(b"data: \xff\n\n") == ["\ufffd"]


def test_half_an_event_at_the_end_is_text() -> None:
    assert values(b'data: {"a":') == ['{"a":']


def test_an_event_without_end_is_given_up() -> None:
    reader, piece = EventReader(), b"x" * 2**20
    reader.feed(b"data: ")
    with pytest.raises(UpstreamFailed) as raised:
        for _ in range(LARGEST_EVENT_BYTES // len(piece) + 1):
            reader.feed(piece)
    assert raised.value.kind == "too_large"


def test_an_event_of_endless_lines_is_given_up() -> None:
    with pytest.raises(UpstreamFailed):
        read(b"data: [\n" * (MOST_EVENT_LINES + 1))
