"""Sounds: every form that people send is measured and decoded as faster-whisper does, and the broken are told."""

from pathlib import Path

import numpy as np
import pytest
from faster_whisper.audio import decode_audio

from services import sound
from services.errors import Invalid
from tests.sounds import RATE, quiet_wav, silence, tone, write_sound

FORMS = [".wav", ".mp3", ".m4a", ".ogg", ".webm", ".flac", ".mp4"]
HOURS = 3 * 3600.0


def reason_of(path: Path, *, max_seconds: float = HOURS) -> str:
    with pytest.raises(Invalid) as refused:
        sound.inspect(path, max_seconds=max_seconds)
    assert refused.value.say("zh") != refused.value.say("en")
    return str(refused.value.details["reason"])


def half(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def rest(path: Path, *, seconds: float = 60) -> list[sound.Window]:
    return list(sound.windows(path, seconds=seconds))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_how_long_it_lasts(tmp_path: Path, form: str) -> None:
    path = write_sound(tmp_path / f"x{form}", tone(3))
    assert sound.inspect(path, max_seconds=HOURS).seconds == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("form", FORMS)
def test_samples_are_those_of_faster_whisper(tmp_path: Path, form: str) -> None:
    path = write_sound(tmp_path / f"x{form}", tone(3, rate=44_100), rate=44_100 if form != ".ogg" else 48_000)
    (window,) = rest(path)
    assert window.samples.dtype == np.float32
    np.testing.assert_array_equal(window.samples, decode_audio(str(path)))


@pytest.mark.parametrize(
    ("form", "codec", "rate"),
    [
        (".nut", "pcm_s16le", RATE),
        (".sox", "pcm_s32le", RATE),
        (".rm", "ac3", 48_000),
        (".swf", "mp3", 44_100),
        (".ast", "pcm_s16be_planar", RATE),
        (".sf", "pcm_s16le", RATE),
        (".w64", "pcm_s16le", RATE),
        (".tta", "tta", RATE),
        (".wv", "wavpack", RATE),
        (".caf", "pcm_s16be", RATE),
        (".au", "pcm_s16be", RATE),
        (".ts", "aac", 48_000),
    ],
)
def test_rare_forms_are_known_by_their_bytes(tmp_path: Path, form: str, codec: str, rate: int) -> None:
    path = write_sound(tmp_path / f"x{form}", tone(3, rate=rate), rate=rate, codec=codec)
    kept = path.rename(tmp_path / "kept.snd")
    assert sound.inspect(kept, max_seconds=HOURS).seconds == pytest.approx(3, abs=0.15)
    assert sum(len(window.samples) for window in rest(kept)) == pytest.approx(3 * RATE, rel=0.05)


@pytest.mark.parametrize(("codec", "layout", "rate"), [("pcm_s24le", "5.1", 96_000), ("pcm_u8", "stereo", 8000)])
def test_any_number_of_channels_becomes_one(tmp_path: Path, codec: str, layout: str, rate: int) -> None:
    path = write_sound(tmp_path / "x.wav", tone(2, rate=rate), rate=rate, codec=codec, layout=layout)
    (window,) = rest(path)
    assert len(window.samples) == pytest.approx(2 * RATE, abs=2)
    assert np.abs(window.samples).max() > 0.1


def test_a_sound_that_changes_its_form_in_the_middle_is_read_to_its_end(tmp_path: Path) -> None:
    first = write_sound(tmp_path / "first.mp3", tone(2), options={"write_xing": "0"})
    second = tone(2, rate=44_100)
    other = write_sound(tmp_path / "x.mp3", second, rate=44_100, layout="stereo", options={"write_xing": "0"})
    first.write_bytes(first.read_bytes() + other.read_bytes())
    assert sum(len(window.samples) for window in rest(first)) == pytest.approx(4 * RATE, rel=0.1)


def test_a_recording_that_was_never_finished_is_read(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.wav", tone(2))
    data = bytearray(path.read_bytes())
    size = data.index(b"data") + 4
    data[4:8] = data[size : size + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert sound.inspect(path, max_seconds=HOURS).seconds == pytest.approx(2, abs=0.01)


def test_the_sound_of_a_film_is_read(tmp_path: Path) -> None:
    from tests.sounds import write_film

    path = write_film(tmp_path / "film.mp4", tone(2))
    assert sound.inspect(path, max_seconds=HOURS).codec == "aac"
    assert sum(len(window.samples) for window in rest(path)) == pytest.approx(2 * RATE, rel=0.1)


def test_windows_follow_one_another_without_a_gap(tmp_path: Path) -> None:
    samples = np.concatenate([tone(1.7), silence(0.6), tone(1.7), silence(0.6), tone(1)])
    path = write_sound(tmp_path / "x.wav", samples)
    pieces = rest(path, seconds=2.5)
    (whole,) = rest(path)
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in pieces]), whole.samples)
    starts = np.cumsum([0, *(len(piece.samples) for piece in pieces[:-1])]) / RATE
    assert [piece.start_seconds for piece in pieces] == pytest.approx(list(starts))


def test_a_window_is_cut_where_it_is_quiet(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.wav", np.concatenate([tone(2.0), silence(0.5), tone(2)]))
    _, second, *_ = rest(path, seconds=2.5)
    assert 2.0 < second.start_seconds < 2.5


def test_a_sound_that_is_not_longer_is_one_window(tmp_path: Path) -> None:
    assert len(rest(write_sound(tmp_path / "x.wav", tone(2)), seconds=2)) == 1


def test_an_hour_is_never_held_whole(tmp_path: Path) -> None:
    path = quiet_wav(tmp_path / "hour.wav", 3600)
    longest = max(len(window.samples) for window in sound.windows(path, seconds=300))
    assert longest <= 300 * RATE


def test_more_than_three_hours_are_refused_and_three_are_not(tmp_path: Path) -> None:
    assert reason_of(quiet_wav(tmp_path / "long.wav", 3 * 3600 + 1)) == "too_long"
    assert sound.inspect(quiet_wav(tmp_path / "x.wav", 3 * 3600), max_seconds=HOURS).seconds == pytest.approx(HOURS)


def test_a_sound_of_no_length_is_told(tmp_path: Path) -> None:
    assert reason_of(quiet_wav(tmp_path / "x.wav", 0)) == "empty"


@pytest.mark.parametrize("form", [".mp3", ".flac", ".webm"])
def test_half_a_sound_is_told_by_its_length(tmp_path: Path, form: str) -> None:
    path = half(write_sound(tmp_path / f"x{form}", tone(8)))
    assert reason_of(path) == "truncated"


def test_half_an_m4a_cannot_be_read_at_all(tmp_path: Path) -> None:
    assert reason_of(half(write_sound(tmp_path / "x.m4a", tone(8)))) == "broken"


def test_half_an_mp3_that_does_not_say_its_length_is_a_shorter_one(tmp_path: Path) -> None:
    path = half(write_sound(tmp_path / "x.mp3", tone(8), options={"write_xing": "0"}))
    assert sound.inspect(path, max_seconds=HOURS).seconds == pytest.approx(4, abs=0.3)


def test_the_length_of_an_mp3_stands_after_its_picture(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.mp3", tone(8))
    plain, picture = path.read_bytes(), bytes(300_000)
    size = bytes((len(picture) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\x04\x00\x00" + size + picture + plain[plain.index(b"\xff\xf3") :])
    assert sound.inspect(path, max_seconds=HOURS).seconds == pytest.approx(8, abs=0.2)
    path.write_bytes(path.read_bytes()[: 300_000 + len(plain) // 2])
    assert reason_of(path) == "truncated"


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"\0" * 5000, b"not a sound at all\n" * 100, b"%PDF-1.7\n" + b"x" * 999]
)
def test_what_is_no_sound_is_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(data)
    assert reason_of(path) in {"broken", "empty"}


def test_a_film_without_sound_is_told(tmp_path: Path) -> None:
    from tests.fakes import samples

    path = tmp_path / "silent.mp4"
    path.write_bytes(samples.mp4())
    assert reason_of(path) == "no_sound"


@pytest.mark.parametrize(
    "list_", ["#EXTM3U\n#EXTINF:3,\n{there}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {there}\n"]
)
def test_a_list_of_other_files_is_never_followed(tmp_path: Path, list_: str) -> None:
    there = write_sound(tmp_path / "secret.wav", tone(3))
    path = tmp_path / "x.wav"
    path.write_bytes(list_.format(there=there.name).encode() + b"\0")
    assert reason_of(path) == "broken"


def test_a_broadcast_to_which_a_stream_comes_is_told(tmp_path: Path) -> None:
    first = write_sound(tmp_path / "x.ts", tone(3, rate=48_000), rate=48_000, codec="aac")
    other = {"mpegts_start_pid": "0x200", "mpegts_pmt_start_pid": "0x1010"}
    later = write_sound(tmp_path / "y.ts", tone(3, rate=48_000), rate=48_000, codec="mp2", options=other)
    first.write_bytes(first.read_bytes() + later.read_bytes())
    assert reason_of(first) == "broken"


def test_what_breaks_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    path = write_sound(tmp_path / "x.mp3", tone(6))
    data = bytearray(path.read_bytes())
    data[10_000:10_400] = bytes(400)
    path.write_bytes(data)
    assert sum(len(window.samples) for window in rest(path)) > 5 * RATE


def test_a_sound_most_of_which_cannot_be_decoded_is_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(1)
    path = write_sound(tmp_path / "x.m4a", 0.3 * noise.standard_normal(6 * RATE))
    data = bytearray(path.read_bytes())
    for at in range(2000, len(data) - 3000, 60):
        data[at : at + 40] = noise.bytes(40)
    path.write_bytes(data)
    assert sound.inspect(path, max_seconds=HOURS).seconds > 5
    with pytest.raises(Invalid) as refused:
        rest(path)
    assert refused.value.details["reason"] == "broken"
