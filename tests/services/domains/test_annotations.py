"""Annotations: what is described, what is not and why, what is paid for, and what a stop leaves."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from services.annotations.store import AnnotationStore
from services.annotations.uploads import Arrival, Uploads
from services.assemble import Services, assemble
from services.compute.progress import Job
from services.contracts.accounts import Identity
from services.contracts.annotations import (
    AnnotationDatasetRequest,
    AnnotationDone,
    AnnotationRequest,
    OutputsQuery,
    ReviewRequest,
    UploadedPicture,
)
from services.contracts.datasets import DatasetView, RowsQuery
from services.domains import annotations, datasets
from services.errors import Cancelled, Conflict, Malformed, NotFound
from services.settings import Settings
from services.usage import utc_now
from tests.fakes.connection import CUT, Reply
from tests.painted import VisionFake, refused, said, small_picture

OWNER = "user-1"
ME = Identity(id=OWNER, username="ann", role="user")
Keep = Callable[..., list[str]]
Describe = Callable[..., AnnotationDone]


class Watched(Job):
    """A job of somebody's; *told* hears of each progress and may raise."""

    def __init__(self, job_id: str = "job-1", told: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.id, self.owner = job_id, OWNER
        self.heard: list[dict[str, Any]] = []
        self._told = told

    def progress(self, fraction: float, **metrics: Any) -> None:
        self.heard.append(metrics)
        if self._told:
            self._told(metrics)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"allow_http_upstreams": True, "allowed_upstreams": "127.0.0.1"})


@pytest.fixture
def vision() -> Iterator[VisionFake]:
    with VisionFake() as fake:
        yield fake


@pytest.fixture
def keep(services: Services) -> Keep:
    """Upload pictures; their names."""

    def keep(*pictures: bytes, owner: str = OWNER, services: Services = services) -> list[str]:
        arrivals = []
        for number, data in enumerate(pictures):
            (services.settings.data_dir / "uploads").mkdir(parents=True, exist_ok=True)
            path = services.settings.data_dir / "uploads" / f".part-{number}"
            path.write_bytes(data)
            facts = {"size": len(data), "content_type": "image/png", "width": 8, "height": 8}
            sha256 = hashlib.sha256(data).hexdigest()
            picture = UploadedPicture(name="", original_name=f"{number}.png", sha256=sha256, **facts)
            arrivals.append(Arrival(path, ".png", picture))
        kept = Uploads(services.database, services.files).keep(arrivals, owner=owner)
        return [picture.name for picture in kept]

    return keep


@pytest.fixture
def describe(services: Services, vision: VisionFake) -> Describe:
    """Describe pictures by the fake, or as other words say."""

    def run(names: list[str], job: Job | None = None, **words: Any) -> AnnotationDone:
        asked = {"endpoint": vision.endpoint, "file_names": names, "language": "en", "model": "eye", **words}
        return annotations.generate(AnnotationRequest(**asked), services=services, job=job or Watched())

    return run


def lines(services: Services, done: AnnotationDone) -> list[Any]:
    """The rows of the output."""
    assert done.output_file is not None
    return [json.loads(line) for line in services.files.find(done.output_file).path.read_text().splitlines()]


def pictures(count: int) -> list[bytes]:
    return [small_picture(number) for number in range(count)]


# What is sent and what comes of it


def test_pictures_are_described_in_their_order(keep: Keep, describe: Describe, services: Services) -> None:
    names, job = keep(*pictures(3)), Watched()
    done = describe(names, job)
    assert (done.total, done.succeeded, done.failed) == (3, 3, 0)
    assert [result.file_name for result in done.results] == names
    assert len(lines(services, done)) == 3
    assert [told["done"] for told in job.heard] == [0, 1, 2, 3]


def test_nothing_is_appended_to_the_endpoint(keep: Keep, describe: Describe, vision: VisionFake) -> None:
    describe(keep(small_picture(1)), api_key=SecretStr("sk-mine"), system_prompt="Be brief.", temperature=0.3)
    request = vision.requests[0]
    assert (request.path, request.headers["authorization"]) == ("/vision/describe", "Bearer sk-mine")
    system, user = request.json["messages"]
    assert (system["content"], request.json["temperature"], request.json["model"]) == ("Be brief.", 0.3, "eye")
    assert user["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")


def test_tokens_and_cost_are_counted(keep: Keep, describe: Describe) -> None:
    done = describe(keep(*pictures(2)), input_price=10, output_price=50)
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (200, 40)
    assert done.usage.cost == pytest.approx(200 * 10e-6 + 40 * 50e-6)


def test_the_pool_is_bounded(keep: Keep, describe: Describe, vision: VisionFake) -> None:
    describe(keep(*pictures(12)), concurrency=3)
    assert 1 <= vision.most_at_once <= 3


def test_the_same_picture_is_paid_for_once(keep: Keep, describe: Describe, vision: VisionFake) -> None:
    names = keep(small_picture(1), small_picture(1))
    first = describe(names)
    again = describe(keep(small_picture(1)), Watched("job-2"))
    assert len(vision.requests) == 1
    assert {row.description for row in [*first.results, *again.results]} == {"Picture 1."}
    assert (again.usage.cached, again.usage.prompt_tokens) == (1, 0)


@pytest.mark.parametrize("other", [{"temperature": 0.9}, {"model": "other"}, {"system_prompt": "x"}, {"prompt": "y"}])
def test_what_is_asked_otherwise_is_paid_for(
    keep: Keep, describe: Describe, vision: VisionFake, other: dict[str, Any]
) -> None:
    names = keep(small_picture(1))
    describe(names)
    describe(names, Watched("job-2"), **other)
    assert len(vision.requests) == 2


def test_what_another_paid_for_is_not_shown(keep: Keep, describe: Describe, vision: VisionFake) -> None:
    describe(keep(small_picture(1)))
    other = Watched("job-2")
    other.owner = "user-2"
    describe(keep(small_picture(1), owner="user-2"), other)
    assert len(vision.requests) == 2


def test_demo_describes_pixels_and_says_so(keep: Keep, describe: Describe, services: Services) -> None:
    done = describe(keep(small_picture(1), small_picture(200)), endpoint="demo")
    assert done.results[0].description != done.results[1].description
    assert [row["demo"] for row in lines(services, done)] == [True, True]


def test_demo_mode_asks_nobody(keep: Keep, services: Services, vision: VisionFake) -> None:
    shown = replace(services, settings=services.settings.model_copy(update={"demo_mode": True}))
    asked = AnnotationRequest(endpoint=vision.endpoint, file_names=keep(small_picture(1)))
    assert annotations.generate(asked, services=shown, job=Watched()).demo
    assert vision.requests == []


# What goes wrong


def test_a_missing_picture_loses_none_of_the_others(keep: Keep, describe: Describe) -> None:
    done = describe([*keep(small_picture(1)), "gone.png"])
    assert (done.succeeded, done.failed) == (1, 1)
    assert done.results[1].error and "gone.png" in done.results[1].error["en"]


def test_every_tenth_call_fails_and_all_are_described(keep: Keep, describe: Describe, vision: VisionFake) -> None:
    vision.reply = lambda number: refused(500, retry_after_ms="10") if number % 10 == 0 else said(number)
    done = describe(keep(*pictures(40)))
    assert (done.succeeded, done.failed) == (40, 0)


def test_pictures_that_are_always_refused_keep_their_reason(keep: Keep, describe: Describe, vision: VisionFake) -> None:
    vision.reply = lambda number: refused(400) if number == 1 else said(number)
    done = describe(keep(*pictures(3)), concurrency=1)
    assert (done.succeeded, done.failed) == (2, 1)
    assert [row.error["reason"] for row in done.results if row.error] == ["refused"]


def test_an_empty_answer_is_an_error(keep: Keep, describe: Describe, vision: VisionFake) -> None:
    vision.reply = lambda number: said(number, "")
    done = describe(keep(small_picture(1)))
    assert (done.failed, done.output_file) == (1, None)
    assert done.results[0].error and "answered nothing" in done.results[0].error["en"]


def test_an_answer_of_ten_megabytes_is_an_error(keep: Keep, describe: Describe, vision: VisionFake) -> None:
    vision.reply = lambda number: said(number, "x" * 10_000_000)
    done = describe(keep(small_picture(1)))
    assert done.results[0].error and done.results[0].error["reason"] == "too_large"


def test_an_answer_that_breaks_off_is_asked_for_again(keep: Keep, describe: Describe, vision: VisionFake) -> None:
    vision.reply = lambda number: Reply(iter(['{"choi', CUT])) if number == 1 else said(number)
    assert describe(keep(small_picture(1))).succeeded == 1


def test_a_slow_provider_times_out(keep: Keep, services: Services, vision: VisionFake) -> None:
    hurried = services.settings.model_copy(update={"upstream_answer_seconds": 0.2})
    quick = assemble(hurried, place="inline", database=services.database)
    vision.reply = lambda number: Reply(said(number).body, hold=vision.release)
    asked = AnnotationRequest(endpoint=vision.endpoint, file_names=keep(small_picture(1)))
    done = annotations.generate(asked, services=quick, job=Watched())
    assert done.results[0].error and "in time" in done.results[0].error["en"]


def test_a_busy_provider_is_waited_for(keep: Keep, describe: Describe, vision: VisionFake) -> None:
    vision.reply = lambda number: refused(429, retry_after_ms="20") if number <= 12 else said(number)
    assert describe(keep(*pictures(4))).succeeded == 4


def test_a_refused_key_is_tried_no_more(keep: Keep, describe: Describe, vision: VisionFake) -> None:
    vision.reply = lambda number: refused(401)
    done = describe(keep(*pictures(30)), concurrency=2)
    assert done.failed == 30
    assert len(vision.requests) <= 2


@pytest.mark.parametrize(
    ("endpoint", "allowed"),
    [
        ("http://127.0.0.1:9/v1/chat/completions", ""),
        ("https://169.254.169.254/latest", ""),
        ("file:///etc/passwd", "127.0.0.1"),
        ("not a url", "127.0.0.1"),
        ("https://[::1", "127.0.0.1"),
    ],
)
def test_an_address_inside_is_refused_before_a_job(keep: Keep, services: Services, endpoint: str, allowed: str) -> None:
    settings = Settings(_env_file=None, **{**services.settings.model_dump(), "allowed_upstreams": allowed})
    guarded = assemble(settings, place="inline", database=services.database)
    asked = AnnotationRequest(endpoint=endpoint, file_names=keep(small_picture(1)))
    with pytest.raises(Malformed):
        annotations.lane(asked, services=guarded, owner=OWNER)


def test_others_pictures_are_not_there(keep: Keep, services: Services) -> None:
    asked = AnnotationRequest(endpoint="demo", file_names=keep(small_picture(1), owner="user-2"))
    with pytest.raises(NotFound):
        annotations.lane(asked, services=services, owner=OWNER)


# Stops


def test_a_cancel_keeps_what_is_done(keep: Keep, describe: Describe, services: Services) -> None:
    def stop(told: dict[str, Any]) -> None:
        if told["done"] == 2:
            raise Cancelled(reason="cancelled")

    with pytest.raises(Cancelled):
        describe(keep(*pictures(6)), Watched(told=stop), concurrency=1)
    shown = annotations.show("job-1", services=services, identity=ME)
    assert shown.succeeded >= 2 and shown.output_file is not None
    assert annotations.outputs(OutputsQuery(), services=services, identity=ME).files[0].rows == shown.succeeded


def test_a_restart_goes_on_where_it_stopped(keep: Keep, describe: Describe, vision: VisionFake) -> None:
    def stop(told: dict[str, Any]) -> None:
        if told["done"] == 3:
            raise Cancelled(reason="restarting")

    names = keep(*pictures(8))
    with pytest.raises(Cancelled):
        describe(names, Watched(told=stop), concurrency=1)
    done = describe(names, Watched(), concurrency=1)
    assert (done.succeeded, len(vision.requests)) == (8, 8)


def test_who_cancels_a_running_job_may_start_it_again(keep: Keep, settings: Settings, vision: VisionFake) -> None:
    threaded = assemble(settings.model_copy(update={"job_runner": "thread"}), place="host")
    vision.reply = lambda number: Reply(said(number).body, hold=vision.release if number > 2 else None)
    asked = AnnotationRequest(endpoint=vision.endpoint, file_names=keep(*pictures(5)), concurrency=1)
    try:
        job = threaded.jobs.submit("annotations.generate", asked, owner=OWNER)
        vision.wait_for_requests(3, timeout=20)
        threaded.jobs.cancel(job.id)
        assert threaded.jobs.wait(job.id, 20).status == "canceled"
        assert annotations.show(job.id, services=threaded, identity=ME).succeeded == 2
        vision.release.set()
        threaded.jobs.retry(job.id)
        assert threaded.jobs.wait(job.id, 20).status == "completed"
        assert annotations.show(job.id, services=threaded, identity=ME).succeeded == 5
        assert len(vision.requests) == 6
    finally:
        threaded.close()


def test_the_whole_way_on_each_database(stored: Services, keep: Keep, vision: VisionFake) -> None:
    asked = AnnotationRequest(
        endpoint=vision.endpoint, file_names=[*keep(*pictures(2), services=stored), "gone.png"], input_price=1
    )
    done = annotations.generate(asked, services=stored, job=Watched())
    assert (done.succeeded, done.failed, done.usage.cost) == (2, 1, pytest.approx(200e-6))
    annotations.review(done.id, 2, ReviewRequest(review="accepted"), services=stored, identity=ME)
    shown = annotations.show(done.id, services=stored, identity=ME)
    assert (shown.succeeded, shown.failed, shown.accepted) == (2, 1, 1)
    assert annotations.outputs(OutputsQuery(limit=1), services=stored, identity=ME).files[0].rows == 2
    made = make_dataset(done.id, AnnotationDatasetRequest(name="x"), stored)
    assert made.samples_count == 1
    annotations.remove_upload(done.results[0].file_name, services=stored, identity=ME)
    tomorrow = utc_now() + timedelta(days=1)
    assert AnnotationStore(stored.database).prune(tomorrow) == 2
    assert AnnotationStore(stored.database).prune(tomorrow) == 0


# Review


@pytest.fixture
def described(keep: Keep, describe: Describe) -> AnnotationDone:
    return describe(keep(*pictures(3)))


def make_dataset(annotation_id: str, wanted: AnnotationDatasetRequest, services: Services) -> DatasetView:
    asked = annotations.prepare_dataset(annotation_id, wanted, services=services, identity=ME)
    return annotations.make_dataset(asked, services=services)


def test_accepted_rows_become_a_data_set(described: AnnotationDone, services: Services) -> None:
    changed = ReviewRequest(description="A pink square.", review="accepted")
    row = annotations.review(described.id, 1, changed, services=services, identity=ME)
    assert (row.description, row.review, row.edited) == ("A pink square.", "accepted", True)
    annotations.review(described.id, 2, ReviewRequest(review="rejected"), services=services, identity=ME)
    wanted = AnnotationDatasetRequest(name="squares")
    made = make_dataset(described.id, wanted, services)
    assert (made.samples_count, made.format) == (1, "messages")
    first = datasets.rows(made.id, RowsQuery(), services=services, identity=ME).rows[0].row
    assert first["messages"][-1]["content"] == "A pink square."
    assert first["image"] == f"images/{described.results[0].file_name}"


@pytest.mark.parametrize("shape", ["openai", "sharegpt", "llava", "alpaca", "labels"])
@pytest.mark.parametrize("images", [True, False])
def test_every_shape_becomes_a_data_set(
    described: AnnotationDone, services: Services, shape: str, images: bool
) -> None:
    annotations.review(described.id, 1, ReviewRequest(review="accepted"), services=services, identity=ME)
    wanted = AnnotationDatasetRequest(name="x", format=shape, images=images)  # type: ignore[arg-type]
    made = make_dataset(described.id, wanted, services)
    expected = {"openai": "messages", "llava": "sharegpt", "labels": "image_label"}
    assert made.format == expected.get(shape, shape)


def test_nothing_accepted_is_no_data_set(described: AnnotationDone, services: Services) -> None:
    with pytest.raises(Conflict):
        make_dataset(described.id, AnnotationDatasetRequest(name="x"), services)


def test_a_picture_that_is_gone_is_told(described: AnnotationDone, services: Services) -> None:
    annotations.review(described.id, 1, ReviewRequest(review="accepted"), services=services, identity=ME)
    annotations.remove_upload(described.results[0].file_name, services=services, identity=ME)
    with pytest.raises(Conflict):
        make_dataset(described.id, AnnotationDatasetRequest(name="x"), services)


def test_a_row_without_text_is_accepted_with_one(
    keep: Keep, describe: Describe, vision: VisionFake, services: Services
) -> None:
    vision.reply = lambda number: said(number, "")
    done = describe(keep(small_picture(1)))
    with pytest.raises(Conflict):
        annotations.review(done.id, 1, ReviewRequest(review="accepted"), services=services, identity=ME)
    both = ReviewRequest(description="A square.", review="accepted")
    assert annotations.review(done.id, 1, both, services=services, identity=ME).review == "accepted"


def test_others_rows_are_not_there(described: AnnotationDone, services: Services) -> None:
    other = Identity(id="user-2", username="bob", role="user")
    with pytest.raises(NotFound):
        annotations.show_row(described.id, 1, services=services, identity=other)
    with pytest.raises(NotFound):
        annotations.download(str(described.output_file), services=services, identity=other)
