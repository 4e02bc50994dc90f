"""How many jobs of each lane run at once on one host."""

from services.settings import Settings


def lane_bounds(settings: Settings) -> dict[str, int]:
    """The bound of each lane by name."""
    return {"gpu": settings.lane_gpu, "cpu": settings.lane_cpu, "io": settings.lane_io}
