"""Languages: one form of the many tags for each, and a guess from the letters of a text."""

import re

TAG = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{1,8}){0,3}")
# Tags that mean the same; the right ones are those of the voices.
SAME = {
    "zh": "cmn",
    "zh-cn": "cmn",
    "zh-sg": "cmn",
    "zh-tw": "cmn",
    "zh-hans": "cmn",
    "zh-hant": "cmn",
    "zh-hans-cn": "cmn",
    "zh-hant-tw": "cmn",
    "zh-cmn": "cmn",
    "chi": "cmn",
    "zho": "cmn",
    "zh-hk": "yue",
    "zh-mo": "yue",
    "zh-hant-hk": "yue",
    "zh-yue": "yue",
    "zh-min-nan": "nan",
    "no": "nb",
    "nor": "nb",
    "tl": "fil",
    "iw": "he",
    "in": "id",
    "eng": "en",
    "deu": "de",
    "ger": "de",
    "fra": "fr",
    "fre": "fr",
    "spa": "es",
    "por": "pt",
    "ita": "it",
    "rus": "ru",
    "jpn": "ja",
    "kor": "ko",
    "ara": "ar",
    "hin": "hi",
    "vie": "vi",
    "tha": "th",
    "tur": "tr",
    "ukr": "uk",
    "pol": "pl",
    "nld": "nl",
    "dut": "nl",
}
# The first that occurs decides: Japanese uses Chinese letters too.
SCRIPTS = [
    ("ja", re.compile("[\u3041-\u30ff]")),
    ("ko", re.compile("[\uac00-\ud7af\u1100-\u11ff]")),
    ("cmn", re.compile("[\u3400-\u9fff\U00020000-\U0002ffff]")),
    ("uk", re.compile("[іїєґІЇЄҐ]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
    ("el", re.compile("[\u0370-\u03ff]")),
    ("he", re.compile("[\u0590-\u05ff]")),
    ("ar", re.compile("[\u0600-\u06ff]")),
    ("hi", re.compile("[\u0900-\u097f]")),
    ("bn", re.compile("[\u0980-\u09ff]")),
    ("ta", re.compile("[\u0b80-\u0bff]")),
    ("th", re.compile("[\u0e00-\u0e7f]")),
    ("ka", re.compile("[\u10a0-\u10ff]")),
    ("vi", re.compile("[\u1ea0-\u1ef9đĐ]")),
]


def canonical(tag: str) -> str | None:
    """*tag* in the one form that is used here, such as `cmn` for `zh-CN`; None for what is no language tag."""
    plain = tag.strip().lower().replace("_", "-")
    if not TAG.fullmatch(plain):
        return None
    found = SAME.get(plain)
    if found or "-" not in plain:
        return found or plain
    head, _, rest = plain.partition("-")
    return f"{head}-{rest}" if head == "zh" else f"{SAME.get(head, head)}-{rest}"


def guess(text: str) -> str:
    """The language whose letters *text* has; English for Latin ones, which tell little."""
    return next((language for language, letters in SCRIPTS if letters.search(text)), "en")


def shown(tag: str) -> str:
    """*tag* as people write it."""
    return "zh" if tag == "cmn" else tag


def primary(tag: str) -> str:
    """*tag* without its region."""
    return tag.partition("-")[0]
