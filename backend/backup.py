"""A whole installation in one file, and back: the database, the files, what was trained, and which models there are.

The file is a plain tar. What a hub or the package index has is named in `models.json` and pulled again; what exists
nowhere else (`data/`, `models/users/`) lies in it. Rows stand in a form of their own, so that a backup of SQLite can be
restored into PostgreSQL, and one of an older version into a newer, which migrates it.
"""

import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import func, inspect, select

from backend.setup import alembic_config, newest_revision
from services import VERSION, dump
from services.assemble import Services
from services.errors import Conflict, Invalid
from services.secrets import KEY_FILE
from services.trained_models import USERS
from services.usage import utc_now

CARD, ROWS, MODELS, SECRET = "backup.json", "database.jsonl", "models.json", f"instance/{KEY_FILE}"
DATA, TRAINED = "data", f"models/{USERS}"
# A new installation has these rows by itself.
AT_FIRST = {"users", "sessions", "usage"}


def write(services: Services, target: Path) -> dict[str, Any]:
    """Write the backup of a running or stopped service to *target*, whole or not at all; its card."""
    settings = services.settings
    card = {"version": VERSION, "revision": newest_revision(), "created_at": f"{utc_now():%Y-%m-%dT%H:%M:%SZ}"}
    part = target.with_name(f".{target.name}.part")
    try:
        # The database first: rows without files can be told from whole ones, files without rows are only room.
        with tempfile.TemporaryFile() as rows, tarfile.open(part, "x") as archive:
            part.chmod(0o600)
            rows.writelines(dump.lines(services.database.engine))
            _add(archive, CARD, orjson.dumps(card))
            _add(archive, MODELS, orjson.dumps(installed(services)))
            member = tarfile.TarInfo(ROWS)
            member.size = rows.tell()
            rows.seek(0)
            archive.addfile(member, rows)
            with suppress(FileNotFoundError):
                _add(archive, SECRET, (settings.instance_dir / KEY_FILE).read_bytes())
            for name, folder in ((DATA, settings.data_dir), (TRAINED, settings.models_dir / USERS)):
                _add_folder(archive, name, folder)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return card


def restore(services: Services, source: Path, *, replace: bool = False) -> tuple[dict[str, Any], list[str]]:
    """Put the backup in *source* in place of what is here: its card, and models that have to be pulled again.

    Raises Conflict where something is here and *replace* does not say that it may go, Invalid for a file that is
    no backup or one of a newer version. The service must be stopped.
    """
    try:
        with tarfile.open(source) as archive:
            card = _read(archive, CARD)
            if str(card["revision"]) > newest_revision():
                raise _newer(card)
            if not replace and (busy := in_use(services)):
                raise Conflict(
                    "There are rows in {tables} already; say --replace to have them removed.",
                    "{tables} 中已有数据；如需替换请使用 --replace。",
                    tables=", ".join(busy),
                )
            _restore_rows(services, archive, str(card["revision"]))
            _restore_files(services, archive)
            wanted = [str(name) for name in _read(archive, MODELS)]
    except (tarfile.TarError, KeyError, orjson.JSONDecodeError) as error:
        raise Invalid(
            "backup", "{name} is no backup of this service.", "{name} 不是本服务的备份文件。", name=source.name
        ) from error
    return card, [name for name in wanted if name not in installed(services)]


def installed(services: Services) -> list[str]:
    """The models here that can be pulled again."""
    catalog = services.catalog
    return [row.id for row in catalog.rows() if row.sources and catalog.installed(row)]


def in_use(services: Services) -> list[str]:
    """The tables that hold what no new installation has."""
    with services.database.engine.connect() as connection:
        tables = [table for table in dump.tables_of(connection) if table.name not in AT_FIRST]
        return [table.name for table in tables if connection.scalar(select(func.count()).select_from(table))]


def _restore_rows(services: Services, archive: tarfile.TarFile, revision: str) -> None:
    """The tables as they were at *revision*, with their rows, and then brought to what they are now."""
    from alembic import command

    engine = services.database.engine
    with services.database.begin() as connection:
        dump.clear(connection)
    assert not inspect(engine).get_table_names()
    command.upgrade(alembic_config(engine), revision)
    rows = archive.extractfile(ROWS)
    assert rows is not None
    with services.database.begin() as connection:
        for table in reversed(dump.tables_of(connection)):  # Migrations write rows of their own.
            connection.execute(table.delete())
        dump.load(connection, rows)
    command.upgrade(alembic_config(engine), "head")


def _restore_files(services: Services, archive: tarfile.TarFile) -> None:
    """Unpack beside the places, then move: what was here goes when the new is whole."""
    settings = services.settings
    places = {DATA: settings.data_dir, TRAINED: settings.models_dir / USERS}
    for name, place in places.items():
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place, prefix=".restore-") as folder:
            archive.extractall(folder, members=_below(archive, name), filter="data")
            for old in [old for old in place.iterdir() if not old.name.startswith(".")]:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            fresh = Path(folder) / name
            for new in fresh.iterdir() if fresh.is_dir() else []:
                new.rename(place / new.name)
    with suppress(KeyError):
        kept = archive.extractfile(SECRET)
        if kept is not None and not settings.secret_key:
            place = settings.instance_dir / KEY_FILE
            place.touch(mode=0o600)
            place.write_bytes(kept.read())


def _below(archive: tarfile.TarFile, name: str) -> Iterator[tarfile.TarInfo]:
    return (member for member in archive.getmembers() if member.isfile() and member.name.startswith(f"{name}/"))


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o600
    archive.addfile(member, io.BytesIO(data))


def _add_folder(archive: tarfile.TarFile, name: str, folder: Path) -> None:
    """Every plain file below *folder*; one that goes while it is read had no row any more."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        inner = path.relative_to(folder)
        # A dot begins what is only there while something is made.
        if any(part.startswith(".") for part in inner.parts) or path.is_symlink() or not path.is_file():
            continue
        with suppress(FileNotFoundError):
            archive.add(path, f"{name}/{inner.as_posix()}", recursive=False)


def _read(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    assert file is not None
    return orjson.loads(file.read())


def _newer(card: dict[str, Any]) -> Invalid:
    return Invalid(
        "backup",
        "The backup is of version {version}, which is newer than this one; upgrade first.",
        "该备份来自更新的版本 {version}，请先升级。",
        reason="newer",
        version=card["version"],
    )
