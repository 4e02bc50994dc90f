"""The one place where the services are put together."""

from dataclasses import dataclass
from typing import Literal

from services.catalog import Catalog
from services.compute.calls import Calls, HostCalls, InlineCalls
from services.compute.host_client import HostClient
from services.compute.jobs import Jobs
from services.compute.runners import open_runner
from services.credentials import StoredCredentials
from services.database import Database, open_database
from services.engines.base import LocalRows
from services.engines.pool import ModelPool
from services.face_index import FaceIndexes
from services.files import Files
from services.keyuse import KeyUses
from services.outbound import Outbound
from services.secrets import engine_token
from services.sent_pictures import PictureRoom
from services.settings import Settings
from services.trained_models import TrainedModelStore
from services.usage import UsageWriter

Place = Literal["web", "host", "worker", "child", "inline"]


@dataclass(frozen=True)
class Services:
    """Everything that a domain function may need; tests replace parts with `dataclasses.replace`."""

    settings: Settings
    database: Database
    catalog: Catalog
    trained: TrainedModelStore
    credentials: StoredCredentials
    outbound: Outbound
    calls: Calls
    jobs: Jobs
    pool: ModelPool
    files: Files
    faces: FaceIndexes
    picture_room: PictureRoom
    usage: UsageWriter
    key_uses: KeyUses

    def close(self) -> None:
        """Write down what waits and let go of models and connections; at the end of the process."""
        self.jobs.runner.stop()
        self.usage.close()
        self.key_uses.close()
        self.pool.close()
        self.database.close()


def assemble(settings: Settings, *, place: Place = "inline", database: Database | None = None) -> Services:
    """The services of one process.

    *place* is what the process is: `web` sends what needs an engine to the engine host; `host` and
    `worker` run it; `child` runs one job; `inline` is web and host in one, for tests and `python wsgi.py`.
    """
    database = database or open_database(settings.sqlalchemy_url)
    trained = TrainedModelStore(database, settings)
    services = Services(
        settings=settings,
        database=database,
        catalog=Catalog(settings, more_rows=LocalRows(settings.models_dir)),
        trained=trained,
        credentials=StoredCredentials(database),
        outbound=Outbound(settings),
        calls=HostCalls(HostClient(settings.engine_url, engine_token(settings))) if place == "web" else InlineCalls(),
        jobs=Jobs(database, settings, open_runner(settings, place)),
        pool=ModelPool(settings),
        files=Files(settings, database),
        faces=FaceIndexes(database),
        picture_room=PictureRoom(2 * settings.max_image_pixels),
        usage=UsageWriter(database),
        key_uses=KeyUses(database),
    )
    services.jobs.bind(services)
    return services
