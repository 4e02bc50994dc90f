"""What pictures and films share before they are made: who makes them, their lane, and the picture to start from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from services import pictures, routes
from services.catalog import LOCAL, Route
from services.compute.progress import Job
from services.compute.registry import Lane
from services.contracts.images import ImageRequest, SourcePicture
from services.contracts.video import VideoRequest
from services.errors import Invalid
from services.providers import open_provider

if TYPE_CHECKING:
    from services.assemble import Services
    from services.outbound import Outbound
    from services.settings import Settings

Request = ImageRequest | VideoRequest
Maker = TypeVar("Maker")


def resolve(request: Request, *, services: "Services", owner: str) -> Route:
    """Who answers *request* of *owner*. Raises NotFound, Unavailable or Invalid."""
    if request.config_id:
        return routes.configured(request.config_id, request.model_id, services=services, owner=owner)
    return routes.resolve(request.model_id, request.ability, services=services, owner=owner)


def lane(request: Request, *, services: "Services", owner: str) -> Lane:
    """Where a job for *request* waits its turn: what a provider makes keeps no local model busy.

    Raises what `resolve` raises, and Unavailable without a key, so that what cannot be done is told before a
    job is made.
    """
    route = resolve(request, services=services, owner=owner)
    if route.provider == LOCAL:
        return "gpu"
    open_provider(route.provider, services.settings, services.outbound, route.credentials)
    return "io"


@contextmanager
def opened(
    route: Route,
    kind: type[Maker],
    remote: "Callable[[Route, Settings, Outbound], Maker]",
    services: "Services",
) -> Iterator[Maker]:
    """The model at the end of *route*, of the contract *kind*; a local one stays loaded inside."""
    row = route.row
    if route.provider != LOCAL or row is None:
        yield remote(route, services.settings, services.outbound)
        return
    with services.pool.lease(row, lambda: services.catalog.path(row)) as engine:
        assert isinstance(engine, kind)
        yield engine


def bound(request: Request, services: "Services") -> None:
    """Raise Invalid for more pixels than the service makes."""
    most = services.settings.max_image_pixels
    if request.width and request.height and request.width * request.height > most:
        raise Invalid(
            "width",
            "width × height is over {most} million pixels.",
            "width × height 超过 {most} 百万像素。",
            reason="too_many_pixels",
            most=round(most / 1e6, 1),
        )


def source(request: Request, services: "Services", job: Job) -> SourcePicture | None:
    """The picture that *request* starts from, upright; None without one. Raises NotFound and what it is refused for."""
    if request.image is None:
        return None
    kept = services.files.find(request.image, owner=job.owner or None)
    return pictures.check(kept.path, max_pixels=services.settings.max_image_pixels)
