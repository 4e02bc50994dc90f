"""Whether the service can work: its database, its job runner, its disk."""

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from services.errors import ServiceError, Unavailable
from services.providers import providers_with_key

if TYPE_CHECKING:
    from services.assemble import Services

LEAST_FREE_BYTES = 200 * 2**20


def check(*, services: "Services") -> dict[str, str]:
    """`ok` or the reason, for the database, the job runner and the disk."""
    return {
        "database": _state(services.database.ping),
        "job_runner": _state(lambda: _ask_runner(services)),
        "disk": _state(lambda: _check_disk(services)),
    }


def describe(*, services: "Services", owner: str) -> dict[str, Any]:
    """Providers that have a key, the operator's or one of *owner*'s; jobs by status, the device and the disk."""
    own = {found.vendor for found in services.credentials.of(owner) if found.is_active and found.sealed_key}
    disk = shutil.disk_usage(services.settings.instance_dir)
    return {
        "providers": sorted({*providers_with_key(services.settings), *own}),
        "jobs": services.jobs.count_by_status(),
        "device": _device(services),
        "disk": {"free_mb": disk.free // 2**20, "total_mb": disk.total // 2**20},
    }


def _state(probe: Callable[[], str | None]) -> str:
    try:
        return probe() or "ok"
    except (ServiceError, SQLAlchemyError, OSError) as error:
        # The class and not the text: texts of drivers hold addresses and paths.
        return error.say("en") if isinstance(error, ServiceError) else f"failed: {type(error).__name__}"


def _ask_runner(services: "Services") -> str:
    """What the runner says of itself in the engine host, which must answer, and then what it says here."""
    there = str(services.calls.health().get("job_runner", "ok"))
    return services.jobs.runner.health() if there == "ok" else there


def _check_disk(services: "Services") -> None:
    if shutil.disk_usage(services.settings.instance_dir).free < LEAST_FREE_BYTES:
        raise Unavailable("The disk is nearly full; free some room.", "磁盘空间不足，请清理。")


def _device(services: "Services") -> dict[str, Any]:
    try:
        host = services.calls.health()
    except Unavailable:
        return {"engine": "away"}
    return {"engine": "ready", "kind": host.get("device", "cpu"), "models": host.get("models", [])}
