"""Sentences of a text, in Western and East Asian punctuation."""

import re
from collections.abc import Iterator

# Longer ones are cut at a comma, else at a space, else where they are: a voice's memory grows with its sentence.
LONGEST_SENTENCE = 250

_CLOSING = r"""["'”’»」』）】》)\]]*"""
# A Western full stop ends a sentence only before a space; an East Asian one always does.
_ENDS = re.compile(rf"(?:[。！？；｡]+|…+|[.!?।؟۔](?=[.!?\"'”’»)\]]*(?:\s|$))[.!?]*){_CLOSING}|\n+")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“])(?:Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|Mt|vs|etc|No|Fig|approx|[A-Za-z]|(?:[A-Za-z]\.)+[A-Za-z])\.$",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060\ufeff]")
_PAUSES = re.compile(r"[,，、;；:：]\s*")


def split(text: str, longest: int = LONGEST_SENTENCE) -> list[str]:
    """The sentences of *text* in order, none empty and none over *longest* characters; all words are kept."""
    plain = _CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))
    return [piece for sentence in _sentences(plain) for piece in _pieces(sentence, longest)]


def _sentences(text: str) -> Iterator[str]:
    start = 0
    for end in _ENDS.finditer(text):
        if end.group() == "." and _ends_in_abbreviation(text, start, end.end()):
            continue
        if sentence := text[start : end.end()].strip():
            yield sentence
        start = end.end()
    if sentence := text[start:].strip():
        yield sentence


def _ends_in_abbreviation(text: str, start: int, end: int) -> bool:
    """Whether the full stop before *end* belongs to its word. Few letters are looked at: texts may be long."""
    return bool(_ABBREVIATION.search(text[max(start, end - 20) : end]))


def _pieces(sentence: str, longest: int) -> Iterator[str]:
    while len(sentence) > longest:
        cut = _cut(sentence[:longest])
        if piece := sentence[:cut].strip():
            yield piece
        sentence = sentence[cut:].lstrip()
    if sentence:
        yield sentence


def _cut(head: str) -> int:
    """Where to cut *head*: after its last pause in the second half, else after its last space there."""
    middle = len(head) // 2
    pauses = [found.end() for found in _PAUSES.finditer(head) if found.end() > middle]
    if pauses:
        return pauses[-1]
    space = head.rfind(" ", middle)
    return space + 1 if space > 0 else len(head)
