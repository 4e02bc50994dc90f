"""The languages of espeak-ng as rows of the catalog, read from its data without opening the library."""

import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from services.contracts.models import CatalogRow, VoiceFlags
from services.languages import canonical

# What people call a language whose voice has the name of one of its forms.
SHORT = {"cmn": "espeak-zh"}


@cache
def rows() -> tuple[CatalogRow, ...]:
    """A row for each language, in order of their names; none where the package is missing."""
    data = _data()
    if data is None:
        return ()
    files = sorted((file for file in (data / "lang").rglob("*") if file.is_file()), key=lambda file: file.name.lower())
    return tuple(row for file in files for row in _row(file, data))


def _data() -> Path | None:
    package = importlib.util.find_spec("espeakng_loader")
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "espeak-ng-data"
    return folder if folder.is_dir() else None


def _row(file: Path, data: Path) -> Iterator[CatalogRow]:
    """The row for the language in *file*; none without its dictionary, by which words are pronounced."""
    facts = _read(file)
    tags = [line.split()[0].lower() for line in facts.get("language", []) if line.split()]
    dictionary = facts.get("dictionary", [tags[0].partition("-")[0] if tags else ""])[0]
    if not tags or not (data / f"{dictionary}_dict").is_file():
        return
    name = file.name.lower()
    yield CatalogRow(
        id=f"espeak-{name}",
        name=f"espeak-ng {facts['name'][0].partition('//')[0].strip()}",
        description="A synthetic voice, female and male, that needs no weights",
        abilities=["speech"],
        licence="GPL-3.0-or-later",
        engine="espeak",
        upstream_model=file.name,
        aliases=[SHORT[name]] if name in SHORT else [],
        bundled=True,
        voice=VoiceFlags(languages=_languages(name, tags), genders=["female", "male"]),
    )


def _languages(name: str, tags: list[str]) -> list[str]:
    """The tags by which the language is asked for, its own first."""
    found = [canonical(tag) for tag in [name, *tags]]
    return list(dict.fromkeys(tag for tag in found if tag))


def _read(file: Path) -> dict[str, list[str]]:
    """The lines of a voice file by their first word."""
    found: dict[str, list[str]] = {}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, rest = line.partition(" ")
        if rest:
            found.setdefault(key, []).append(rest.strip())
    return found
