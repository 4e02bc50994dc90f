"""espeak-ng as it comes with its package: every language, no download."""

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from services.contracts.models import CatalogRow
from services.contracts.speech import Gender, Manner
from services.engines import espeak_rows
from services.engines.espeak import Espeak, library
from services.settings import Settings
from tests.voices import fundamental

ROWS = {row.id: row for row in espeak_rows.rows()}
ENGLISH = "The quick brown fox jumps over the lazy dog."


def speaker(name: str) -> Espeak:
    loaded = Espeak(ROWS[name], Path("nowhere"), Settings(_env_file=None))
    loaded.load()
    return loaded


def say(name: str, text: str, *, speed: float = 1, gender: Gender | None = None) -> np.ndarray:
    return np.frombuffer(speaker(name).say(text, Manner(speed, 0, gender)), np.int16)


def test_there_are_more_than_a_hundred_languages() -> None:
    assert len(ROWS) > 100
    assert {"espeak-cmn", "espeak-en", "espeak-en-us", "espeak-fr", "espeak-de", "espeak-ja", "espeak-ar"} <= set(ROWS)
    assert "espeak-zh" in ROWS["espeak-cmn"].aliases


def test_names_are_names_once() -> None:
    names = [name for row in ROWS.values() for name in [row.id, *row.aliases]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_every_language_speaks(row: CatalogRow) -> None:
    for variant in ("", "+f3"):
        pcm = library().say("1 2 3 hello", f"{row.upstream_model}{variant}", words_a_minute=300)
        assert len(pcm) / 2 / library().sample_rate > 0.2


def test_chinese_is_read_syllable_by_syllable() -> None:
    short, long = say("espeak-cmn", "你好"), say("espeak-cmn", "你好世界你好世界")
    assert 2.5 < len(long) / len(short) < 5


@pytest.mark.parametrize(("name", "text"), [("espeak-cmn", "你好，世界！"), ("espeak-en-us", ENGLISH)])
def test_a_woman_speaks_higher_than_a_man(name: str, text: str) -> None:
    rate = library().sample_rate
    man, woman = (fundamental(say(name, text, gender=gender), rate) for gender in ("male", "female"))
    assert 60 < man < 150 < woman < 300


@pytest.mark.parametrize("speed", [0.6, 1.5, 2.0])
def test_speed_is_its_own_within_bounds(speed: float) -> None:
    assert speaker("espeak-en").own(Manner(speed, 3, "female")) == Manner(speed, 0, "female")
    assert len(say("espeak-en-us", ENGLISH, speed=speed)) == pytest.approx(
        len(say("espeak-en-us", ENGLISH)) / speed, rel=0.06
    )
    assert speaker("espeak-en").own(Manner(4)).speed == 2


@pytest.mark.parametrize("text", ["", "\0", "a\0b", "😀", "<break time='9999s'/>", "[[h@l'oU]]", "\ufffd", "%s%n"])
def test_odd_texts_are_no_error(text: str) -> None:
    assert len(say("espeak-en", text)) < 20 * library().sample_rate


def test_markup_is_read_and_not_obeyed() -> None:
    assert len(say("espeak-en", "<break time='9999s'/> hello")) > len(say("espeak-en", "hello"))


def test_many_that_ask_at_once_get_the_one_library() -> None:
    probe = "from concurrent.futures import ThreadPoolExecutor; from services.engines.espeak import library; "
    probe += "assert len({id(found) for found in ThreadPoolExecutor(8).map(lambda _: library(), range(64))}) == 1"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_many_at_once_do_not_mix() -> None:
    alone = {text: len(say("espeak-en", text)) for text in ("one", "two and three and four", ENGLISH)}
    heard: dict[str, list[int]] = {text: [] for text in alone}
    threads = [
        threading.Thread(target=lambda text=text: heard[text].append(len(say("espeak-en", text))))
        for text in list(alone) * 5
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Its noise is another each time, its length nearly the same.
    assert all(found == pytest.approx([alone[text]] * 5, rel=0.02) for text, found in heard.items())


@pytest.mark.parametrize("text", ["", " ", "…", "---"])
def test_what_cannot_be_heard_is_nothing(text: str) -> None:
    assert len(say("espeak-en", text)) == 0
