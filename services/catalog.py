"""Every model that can be named, and the way from a name to who answers.

Rows come from `models/catalog.toml`: a checkpoint is data. What users trained comes from *more_rows*.
"""

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from services.contracts.models import Ability, CatalogRow, ChatFlags, Manifest
from services.errors import NotFound, Unavailable
from services.providers import all_providers, find_provider
from services.settings import ROOT, Settings

if TYPE_CHECKING:
    from services.credentials import Credentials

CATALOG_FILE = ROOT / "models" / "catalog.toml"
MANIFEST = "polymath.json"
LOCAL = "local"
LONGEST_NAME = 256
MODELS = "models/"


@dataclass(frozen=True)
class Route:
    """Who answers for a name: `provider` is `local` or a provider's, `upstream_model` what it is called there.

    `credentials` are the user's own where a stored configuration serves instead of the operator's key.
    """

    name: str
    provider: str
    upstream_model: str
    flags: ChatFlags = field(default_factory=ChatFlags)
    row: CatalogRow | None = None
    credentials: "Credentials | None" = None


@dataclass(frozen=True)
class Listed:
    """Rows in their order, those with each ability, and those that are not in the file by each of their names."""

    rows: list[CatalogRow]
    by_ability: dict[Ability, list[CatalogRow]]
    others: dict[str, CatalogRow]


class Catalog:
    """The rows, what of them is installed, and `resolve`. *more_rows* gives rows that are not in the file.

    Safe from many threads. No name ever becomes a path: names only find rows, and rows have folders.
    """

    def __init__(
        self, settings: Settings, *, file: Path = CATALOG_FILE, more_rows: Callable[[], Iterable[CatalogRow]] = list
    ) -> None:
        if unknown := set(settings.models_by_ability) - set(get_args(Ability)):
            raise ValueError(f"DEFAULT_MODELS: there are no abilities {unknown}; there are {get_args(Ability)}")
        self._settings = settings
        self._file = file
        self._more_rows = more_rows
        self._listed: tuple[Iterable[CatalogRow] | None, Listed] = (None, Listed([], {}, {}))

    def look_up(self, name: str) -> CatalogRow | None:
        """The row called *name*, by id or alias, or None."""
        return self._by_name.get(name) or self._all.others.get(name)

    def known(self, name: str) -> CatalogRow | None:
        """The row that *name* means, by id, alias or local path, or None."""
        return self.look_up(name) or self.at_path(name)

    def at_path(self, name: str) -> CatalogRow | None:
        """The local row whose folder *name* is, as people write it: `models/x`, `/models/x` or `./models/x`."""
        told = name.removeprefix("./").removeprefix("/").removesuffix("/")
        if not told.startswith(MODELS):
            return None
        return next((row for row in self._all.rows if row.local and told == path_name(row)), None)

    def rows(self, ability: Ability | None = None) -> list[CatalogRow]:
        """Every row in the file's order and then the others, or those with *ability*."""
        listed = self._all
        return list(listed.by_ability.get(ability, ()) if ability else listed.rows)

    def find(self, name: str) -> CatalogRow:
        """The row called *name*, by id or alias. Raises NotFound."""
        row = self.look_up(name)
        if row is None:
            raise _nobody_has(name)
        return row

    def folder(self, row: CatalogRow) -> Path:
        """Where the weights of *row* lie, or would."""
        return self._settings.models_dir / (row.folder or row.id)

    def installed(self, row: CatalogRow) -> bool:
        """Whether the weights of *row* are here; a remote model needs none."""
        if not row.local or row.bundled:
            return True
        # A folder under the model's name appears whole, by one rename; what was made here has no manifest.
        return (self.folder(row) / MANIFEST).is_file() if row.sources else self.folder(row).is_dir()

    def available(self, row: CatalogRow) -> bool:
        """Whether *row* could answer now: installed, or its provider needs no key or has the operator's."""
        if row.local:
            return self.installed(row)
        provider = find_provider(row.provider)
        return self._operator_has_key(row) or bool(provider and not provider.key_setting)

    def described(self, row: CatalogRow) -> dict[str, Any]:
        """The fields that every view of *row* has."""
        return {
            "id": row.id,
            "description": row.description,
            "licence": row.licence,
            "installed": self.installed(row),
            "available": self.available(row),
            "size_mb": row.size_mb,
        }

    def path(self, row: CatalogRow) -> Path:
        """The folder of an installed model. Raises Unavailable with the command that installs it."""
        if not self.installed(row):
            raise not_installed(row.id)
        return self.folder(row)

    def manifest(self, row: CatalogRow) -> Manifest:
        """What was installed for *row*. Raises Unavailable."""
        return Manifest.model_validate_json((self.path(row) / MANIFEST).read_bytes())

    def resolve(self, name: str | None, ability: Ability) -> Route:
        """Who answers for *name*: a catalog id or local path, then `provider/model`, then a vendor's prefix.

        No name takes the setting for *ability*, else the newest installed, else the first provider with a
        key; never demo in silence. Raises NotFound for a model that nobody has, Unavailable for one that is
        not installed. `services/routes.py` adds what users configured; whether a provider has a key is asked
        when it is opened.
        """
        if not name:
            return self._default(ability)
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise _nobody_has(name[:40])
        row = self.known(name)
        if row is None:
            route = self._by_provider(name, ability) or _by_prefix(name)
        else:
            route = _route(row) if ability in row.abilities else None
        if route is None:
            raise _nobody_has(name)
        if route.row and route.row.local:
            self.path(route.row)
        return route

    def _by_provider(self, name: str, ability: Ability) -> Route | None:
        before, slash, model = name.partition("/")
        if not slash:
            return None
        row = self.look_up(model)
        if before == LOCAL:
            return _route(row) if row and row.local and ability in row.abilities else None
        provider = find_provider(before)
        if provider is None or not model:
            return None
        if row is None or row.provider != provider.name:
            return Route(name, provider.name, model)
        return Route(name, provider.name, row.upstream_model or model, row.flags, row)

    def _default(self, ability: Ability) -> Route:
        if chosen := self._settings.models_by_ability.get(ability):
            return self.resolve(chosen, ability)
        rows = [row for row in self.rows(ability) if not row.retired]
        installed = [row for row in rows if row.local and self.installed(row)]
        if installed:
            # To know when a model came is to read a file, which the only one need not wait for.
            return _route(max(installed, key=self.installed_at) if len(installed) > 1 else installed[0])
        with_key = (row for row in rows if self._operator_has_key(row))
        if first := next(with_key, None):
            return _route(first)
        # The starter's, where it has one, since its source is the nearest; else the first that could be had.
        could = sorted((row for row in rows if row.sources), key=lambda row: not row.starter)
        command = f"flask models pull {could[0].id if could else 'starter'}"
        raise Unavailable(
            "No model for {ability} is installed and no provider has a key; run: {command}",
            "没有可用于 {ability} 的模型，也未配置服务商密钥，请运行：{command}",
            details={"reason": "no_model", "command": command},
            ability=ability,
            command=command,
        )

    def _operator_has_key(self, row: CatalogRow) -> bool:
        provider = find_provider(row.provider)
        return bool(provider and provider.key_setting and getattr(self._settings, provider.key_setting))

    def installed_at(self, row: CatalogRow) -> datetime:
        """When the weights of an installed local *row* came here; the beginning of time for what is bundled."""
        if row.bundled:
            return datetime.min.replace(tzinfo=UTC)
        if row.sources:
            return self.manifest(row).installed_at
        return datetime.fromtimestamp(self.folder(row).stat().st_mtime, UTC)

    @cached_property
    def _fixed(self) -> list[CatalogRow]:
        tables = tomllib.loads(self._file.read_text(encoding="utf-8"))
        return [CatalogRow.model_validate({"id": name, **table}) for name, table in tables.items()]

    @property
    def _all(self) -> "Listed":
        """Every row by what it is asked for; listed anew when *more_rows* gives another list."""
        more = self._more_rows()
        if more is not self._listed[0]:
            self._listed = more, _list([*self._fixed, *(row for row in more if row.id not in self._by_name)], more)
        return self._listed[1]

    @cached_property
    def _by_name(self) -> dict[str, CatalogRow]:
        found: dict[str, CatalogRow] = {}
        for row in self._fixed:
            for name in _names(row):
                if name in found:
                    raise ValueError(f"{self._file.name}: two models are called {name}")
                found[name] = row
        return found


def path_name(row: CatalogRow) -> str:
    """Where a local *row* lies, as people are told it."""
    return f"{MODELS}{row.folder or row.id}"


def not_installed(name: str, **details: str) -> Unavailable:
    """That a model is not here, with the command that installs it; *details* such as the `field` that named it."""
    command = f"flask models pull {name}"
    return Unavailable(
        "Model {model} is not installed; run: {command}",
        "模型 {model} 尚未安装，请运行：{command}",
        details={"reason": "model_not_installed", "model": name, "command": command, **details},
        model=name,
        command=command,
    )


def _by_prefix(name: str) -> Route | None:
    for provider in all_providers():
        if provider.model_prefixes and "/" not in name and name.startswith(provider.model_prefixes):
            return Route(name, provider.name, name)
    return None


def _list(rows: list[CatalogRow], others: Iterable[CatalogRow]) -> Listed:
    by_ability: dict[Ability, list[CatalogRow]] = {}
    for row in rows:
        for ability in row.abilities:
            by_ability.setdefault(ability, []).append(row)
    # Of two with one name the first.
    return Listed(rows, by_ability, {name: row for row in reversed(list(others)) for name in reversed(_names(row))})


def _names(row: CatalogRow) -> list[str]:
    return [row.id, *row.aliases]


def _route(row: CatalogRow) -> Route:
    return Route(row.id, row.provider, row.upstream_model or row.id, row.flags, row)


def _nobody_has(name: str) -> NotFound:
    return NotFound(
        "There is no model {name} here; GET /api/models lists those there are.",
        "模型 {name} 不存在，可通过 GET /api/models 查看可用模型。",
        details={"reason": "model_not_found"},
        name=repr(name),
    )
