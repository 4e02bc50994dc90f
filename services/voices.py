"""Which voice speaks: by its name, or the best of a language and gender that is here."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.catalog import LOCAL
from services.contracts.models import CatalogRow
from services.contracts.speech import Gender, SpeechRequest
from services.errors import Invalid, NotFound
from services.languages import canonical, guess, primary, shown

if TYPE_CHECKING:
    from services.assemble import Services


@dataclass(frozen=True, slots=True)
class Voice:
    """A row of the catalog, and the language and gender in which it speaks."""

    row: CatalogRow
    language: str
    gender: Gender | None


def choose(request: SpeechRequest, *, services: "Services") -> Voice:
    """Who speaks *request*.

    Raises NotFound for a voice that nobody has, Unavailable for one that is not installed, and Invalid for a
    language that no voice, or not this one, speaks.
    """
    wanted = _language(request)
    row = _named(request, services)
    if row is None:
        language = wanted or guess(request.text)
        row = _best(language, request.gender, services)
        return Voice(row, shown(language), _gender(row, request.gender))
    speaks = row.voice.languages
    if wanted and speaks and not any(_nearness(wanted, tag) for tag in speaks):
        raise _speaks_others(row, request.language or wanted)
    language = wanted or (speaks[0] if speaks else guess(request.text))
    return Voice(row, shown(language), _gender(row, request.gender))


def _language(request: SpeechRequest) -> str | None:
    if request.language is None or request.language.strip().lower() == "auto":
        return None
    tag = canonical(request.language)
    if tag is None:
        raise _nobody_speaks(request.language)
    return tag


def _named(request: SpeechRequest, services: "Services") -> CatalogRow | None:
    """The row that the request names, as voice or as model; None when it leaves the choice."""
    names = [name for name in (request.model_id, None if request.gender else request.voice) if name]
    rows = [_find(name, services) for name in names]
    if len({row.id for row in rows}) > 1:
        raise Invalid(
            "voice",
            "'voice' and 'model_id' name two different voices; send one of them.",
            "'voice'与'model_id'指定了不同的语音，请只填写其中一个。",
            reason="conflict",
        )
    return rows[0] if rows else None


def _find(name: str, services: "Services") -> CatalogRow:
    route = services.catalog.resolve(name, "speech")
    if route.provider != LOCAL or route.row is None:
        raise NotFound(
            "There is no voice {name} here; flask models list shows those there are.",
            "语音 {name} 不存在，可运行 flask models list 查看可用模型。",
            details={"reason": "model_not_found"},
            name=repr(name[:80]),
        )
    return route.row


def _best(language: str, gender: Gender | None, services: "Services") -> CatalogRow:
    """The best voice for *language*: of the gender that is asked for, trained rather than synthetic, of the region."""
    able = [
        (nearness, row)
        for row in services.catalog.rows("speech")
        if row.local and (nearness := max((_nearness(language, tag) for tag in row.voice.languages), default=0))
    ]
    if not able:
        raise _nobody_speaks(language)
    here = [(nearness, row) for nearness, row in able if services.catalog.installed(row)]
    if not here:
        # Says the command that installs it.
        services.catalog.path(able[0][1])
    # Of equals the first in the catalog, where a language stands before its regions.
    return max(here, key=lambda found: (_suits(found[1], gender), not found[1].bundled, found[0]))[1]


def _suits(row: CatalogRow, gender: Gender | None) -> bool:
    return gender is None or gender in row.voice.genders


def _nearness(wanted: str, tag: str) -> int:
    """3 for the same language and region, 2 where one has none, 1 for another region, 0 for another language."""
    if wanted == tag:
        return 3
    if primary(wanted) != primary(tag):
        return 0
    return 2 if "-" not in wanted or "-" not in tag else 1


def _gender(row: CatalogRow, wanted: Gender | None) -> Gender | None:
    """The gender that is heard: the wanted one where the voice has it; a voice of one gender has that."""
    if wanted in row.voice.genders:
        return wanted
    return row.voice.genders[0] if row.voice.genders else None


def _nobody_speaks(language: str) -> Invalid:
    return Invalid(
        "language",
        "No voice here speaks {tag}; send a tag such as zh, en or fr.",
        "没有支持语言 {tag} 的语音，请使用 zh、en、fr 等语言代码。",
        reason="unknown_language",
        tag=repr(language[:40]),
    )


def _speaks_others(row: CatalogRow, language: str) -> Invalid:
    return Invalid(
        "language",
        "The voice {model} speaks {own}, not {tag}; leave out one of the two.",
        "语音 {model} 支持的语言是 {own}，不支持 {tag}，请去掉其中一个参数。",
        reason="other_language",
        model=row.id,
        own=", ".join(row.voice.languages),
        tag=repr(language[:40]),
    )
