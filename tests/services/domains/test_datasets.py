"""Data sets as jobs: small ones in place, large ones in a process of their own, each whole or not at all."""

import gzip
import io
import json
import resource
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.assemble import Services, assemble
from services.compute.progress import Job
from services.contracts.accounts import Identity
from services.contracts.datasets import DatasetUpload, DatasetView, ProcessRequest, RowsQuery
from services.domains import datasets
from services.errors import Cancelled, Invalid, NotFound, Unavailable
from services.settings import Settings
from tests.fakes import samples
from tests.live import wait_for

LIN = Identity("lin", "lin", "user")
LARGE = b"".join(b'{"text": "%d %s"}\n' % (number, b"x" * 300) for number in range(10_000))


class LinsJob(Job):
    owner = "lin"

    def __init__(self, job_id: str = "") -> None:
        self.id = job_id


def keep(services: Services, data: bytes, **more: Any) -> DatasetUpload:
    kept = services.files.keep(data, "uploads", ".data", owner="lin")
    return DatasetUpload(file=kept.name, file_name="x.jsonl", sha256="0", name="x", **more)


def upload(services: Services, data: bytes, *, job: Job | None = None, **more: Any) -> DatasetView:
    return datasets.upload(keep(services, data, **more), services=services, job=job or LinsJob())


def files_in(services: Services) -> list[str]:
    root = services.settings.data_dir
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_large_file_is_read_and_processed_in_processes_of_their_own(services: Services) -> None:
    assert len(LARGE) > datasets.SMALL_BYTES
    made = upload(services, LARGE)
    assert made.samples_count == 10_000
    done = datasets.process(ProcessRequest(dataset_id=made.id, output_name="out"), services=services, job=LinsJob())
    assert done.splits == {"train": 8000, "validation": 1000, "test": 1000}
    assert files_in(services) == [
        "processed/out/dataset.json", "processed/out/v1/dataset.json", "processed/out/v1/test.jsonl",
        "processed/out/v1/train.jsonl", "processed/out/v1/validation.jsonl", "raw/x.jsonl",
    ]  # fmt: skip


def test_a_large_file_with_a_bad_row_is_refused_and_gone(services: Services) -> None:
    with pytest.raises(Invalid, match="line 10001"):
        upload(services, LARGE + b"{\n")
    assert files_in(services) == []


def test_an_error_in_the_child_leaves_nothing(services: Services) -> None:
    made = upload(services, LARGE)
    before = files_in(services)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(Unavailable) as caught:
            datasets.process(ProcessRequest(dataset_id=made.id, output_name="out"), services=services, job=LinsJob())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.details["reason"] == "disk_full"
    assert files_in(services) == before


def test_a_job_that_is_run_again_adds_nothing(services: Services) -> None:
    asked = keep(services, b'{"text": "a"}\n')
    first = datasets.upload(asked, services=services, job=LinsJob("job-1"))
    assert datasets.upload(asked, services=services, job=LinsJob("job-1")) == first
    wanted = ProcessRequest(dataset_id=first.id, output_name="out")
    done = [datasets.process(wanted, services=services, job=LinsJob("job-2")) for _ in range(2)]
    assert done[0] == done[1]
    assert datasets.show("out", services=services, identity=LIN).version == 1


def test_a_zip_inside_a_gzip_is_read(services: Services) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("cats/1.png", samples.png(8, 8, "cat"))
    made = upload(services, gzip.compress(archive.getvalue()))
    assert (made.path, made.format) == ("data/raw/x.zip", "image_label")


def test_a_cancel_forgets_the_file(services: Services) -> None:
    class Impatient(LinsJob):
        def progress(self, fraction: float, **metrics: Any) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        upload(services, b'{"text": "a"}\n', job=Impatient())
    assert files_in(services) == []


def test_a_cancel_reaches_the_child(settings: Settings, services: Services) -> None:
    made = upload(services, LARGE * 20)
    threaded = assemble(settings.model_copy(update={"job_runner": "thread"}))
    try:
        wanted = ProcessRequest(dataset_id=made.id, output_name="out")
        job = threaded.jobs.submit("datasets.process", wanted, owner="lin")
        wait_for(lambda: threaded.jobs.show(job.id).progress > 0, what="the child to begin")
        threaded.jobs.cancel(job.id)
        assert threaded.jobs.wait(job.id, 30).status == "canceled"
        wait_for(lambda: files_in(services) == ["raw/x.jsonl"], what="the draft to go")
    finally:
        threaded.close()


def test_pages_of_every_kind_of_file_agree(services: Services) -> None:
    rows = [{"text": str(number)} for number in range(50)]
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    for data in (
        lines,
        lines + b"{\n",
        json.dumps(rows).encode(),
        b"text\n" + b"".join(b"%d\n" % n for n in range(50)),
    ):
        made = upload(services, data, on_error="skip")
        page = datasets.rows(made.id, RowsQuery(limit=10, after=35), services=services, identity=LIN)
        assert [row.row for row in page.rows] == rows[35:45]
        assert (page.rows[0].number, page.count, page.next) == (36, 50, 45)


def test_pages_of_parts_go_over_their_ends(services: Services) -> None:
    made = upload(services, b"".join(b'{"text": "%d"}\n' % number for number in range(50)))
    done = datasets.process(ProcessRequest(dataset_id=made.id, output_name="out"), services=services, job=LinsJob())
    whole = datasets.rows(done.id, RowsQuery(limit=100), services=services, identity=LIN).rows
    assert [row.split for row in whole] == ["train"] * 40 + ["validation"] * 5 + ["test"] * 5
    for after in range(0, 50, 7):
        page = datasets.rows(done.id, RowsQuery(limit=9, after=after), services=services, identity=LIN)
        assert page.rows == whole[after : after + 9]
    assert datasets.rows(done.id, RowsQuery(after=50), services=services, identity=LIN).rows == []


def test_tokens_are_counted_where_a_model_is_named(settings: Settings, chat_models: Path) -> None:
    services = assemble(settings.model_copy(update={"models_dir": chat_models}))
    try:
        made = upload(services, b'{"prompt": "Hi", "response": "Hello there"}\n' * 10)
        wanted = ProcessRequest(dataset_id=made.id, output_name="out", model="smollm2-135m-instruct")
        done = datasets.process(wanted, services=services, job=LinsJob())
        rows = datasets.rows(done.id, RowsQuery(limit=1), services=services, identity=LIN).rows
        told = datasets.stats(done.id, services=services, identity=LIN)
    finally:
        services.close()
    assert (
        rows[0].row["text"].endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello there<|im_end|>\n")
    )
    assert told.splits and told.splits["train"]["tokens"]["min"] > 10
    assert done.format == "text"


def test_a_model_that_is_not_there_is_told_before_the_job(services: Services) -> None:
    made = upload(services, b'{"prompt": "Hi", "response": "Ho"}\n')
    for model, kind in (("nobody", NotFound), ("smollm2-135m-instruct", Unavailable), ("qwen-turbo", Invalid)):
        wanted = ProcessRequest(dataset_id=made.id, output_name="out", model=model)
        with pytest.raises(kind):
            services.jobs.submit("datasets.process", wanted, owner="lin")


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    assembled = assemble(settings)
    yield assembled
    assembled.close()
