"""What trainings were asked for at OpenAI's door, beside what their jobs know."""

from typing import Any

from sqlalchemy import select, update

from services.database import Database
from services.tables.jobs import JobTable
from services.tables.user_files import FineTuningTable
from services.usage import utc_now


class FineTuningStore:
    """Words of fine-tunings by their jobs. Who may see a job is asked where jobs are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, job_id: str) -> FineTuningTable | None:
        """What the training *job_id* was asked for here; None for one of another door."""
        with self._database.read() as session:
            return session.get(FineTuningTable, job_id)

    def add(self, job_id: str, *, owner: str, **words: Any) -> FineTuningTable:
        """Write down *words* (`training_file`, `validation_file`, `hyperparameters`, `labels`), once."""
        with self._database.write() as session:
            if there := session.get(FineTuningTable, job_id):
                return there
            row = FineTuningTable(job_id=job_id, owner=owner, created_at=utc_now(), **words)
            session.add(row)
        return row

    def set_paused(self, job_id: str, paused: bool, *, owner: str) -> None:
        """Say whether *job_id* was paused or, if it was stopped, cancelled."""
        self.add(job_id, owner=owner)
        with self._database.write() as session:
            session.execute(update(FineTuningTable).where(FineTuningTable.job_id == job_id).values(paused=paused))

    def paused(self, *, owner: str) -> list[FineTuningTable]:
        """The trainings of *owner* that wait to be resumed."""
        table = FineTuningTable
        stopped = select(table).join(JobTable, JobTable.id == table.job_id).where(JobTable.status == "canceled")
        with self._database.read() as session:
            return list(session.scalars(stopped.where(table.owner == owner, table.paused)))

    def labelled(self, labels: dict[str, str], *, owner: str | None) -> list[str]:
        """The jobs with all of *labels*, the newest first."""
        table = FineTuningTable
        wanted = select(table).order_by(table.created_at.desc(), table.job_id.desc())
        with self._database.read() as session:
            rows = session.scalars(wanted if owner is None else wanted.where(table.owner == owner))
            return [row.job_id for row in rows if labels.items() <= (row.labels or {}).items()]
