"""Trainings as jobs: looked at first, in a process of their own, and the same after every kind of death."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.assemble import Services, assemble
from services.compute.progress import Job
from services.contracts.accounts import Identity
from services.contracts.datasets import DatasetUpload
from services.contracts.jobs import EventsQuery, JobView
from services.contracts.training import TrainingRequest
from services.contracts.training_doors import TrainingsQuery, TrainingState
from services.domains import datasets, training
from services.errors import Conflict, Invalid, Malformed, NotFound, Unavailable
from services.settings import Settings
from tests.live import wait_for
from tests.processes import children_of, read_of
from tests.toy_trainer import BASE, put_base, put_rows

LIN, EVE = (Identity(name, name, "user") for name in ("lin", "eve"))
ADMIN = Identity("root", "root", "admin")
SECONDS = 60
REAL_SECONDS = 300


@pytest.fixture
def house(settings: Settings, toy_trainer: None) -> Iterator[Services]:
    """Services with a runner that works beside the test."""
    put_base(settings.models_dir)
    put_rows(settings.data_dir)
    opened = assemble(settings.model_copy(update={"job_runner": "thread"}), place="inline")
    yield opened
    opened.close()


def asked(rows: str = "data/facts.jsonl", /, plan: dict[str, Any] | None = None, **more: Any) -> TrainingRequest:
    told = {"save_steps": 5, "epochs": 2, **more}
    description = json.dumps(plan) if plan else ""
    return TrainingRequest(trainer="lora", base_model=BASE, dataset_path=rows, description=description, **told)


def submit(services: Services, request: TrainingRequest, who: Identity = LIN) -> JobView:
    resolved, _ = training.prepare(request, services=services, identity=who)
    return services.jobs.submit(training.TRAIN, resolved, owner=who.id)


def end_of(services: Services, job: JobView, seconds: float = SECONDS) -> TrainingState:
    ended = services.jobs.wait(job.id, seconds)
    assert ended.ended, ended.status
    return training.status(job.id, services=services, identity=ADMIN)


def reason(state: TrainingState) -> str:
    assert state.error is not None
    return str(state.error["attributes"]["details"]["reason"])


def number_in(services: Services, state: TrainingState) -> float:
    """What the toy's model weighs."""
    assert state.model is not None
    row = services.trained.find(state.model.model, owner=None)
    return float(json.loads((services.trained.folder(row) / "weights.json").read_text())["number"])


def begun(path: Path, times: int = 1) -> list[str]:
    """The lines that the toy left, when it has begun *times* times."""

    def lines() -> list[str]:
        return path.read_text().splitlines() if path.exists() else []

    wait_for(lambda: sum(line.startswith("begin") for line in lines()) >= times, what=f"{times} beginnings")
    return lines()


def until(services: Services, job: JobView, fits: Callable[[TrainingState], bool]) -> TrainingState:
    def now() -> TrainingState:
        return training.status(job.id, services=services, identity=ADMIN)

    wait_for(lambda: fits(now()), what="the training to come so far")
    return now()


def test_a_training_becomes_a_model_of_its_owner(house: Services) -> None:
    state = end_of(house, submit(house, asked(name="Facts", lora={"r": 4})))
    assert (state.status, state.progress) == ("completed", 100)
    assert state.model and state.model.path == "models/checkpoints/facts/final"
    model = house.trained.find("Facts", owner="lin")
    assert (model.id, model.kind, model.base_model, model.base_revision) == (state.model.model, "lora", BASE, "1")
    assert (model.dataset_name, model.engine, model.job_id) == ("facts", "llama_cpp", state.task_id)
    assert model.training_config | {"num_epochs": 2, "lora_r": 4, "batch_size": 8} == model.training_config
    assert number_in(house, state) == pytest.approx(0.99**20)
    with pytest.raises(NotFound):
        house.trained.find("Facts", owner="eve")


def test_its_curve_is_kept_with_it(house: Services) -> None:
    state = end_of(house, submit(house, asked()))
    assert [point.step for point in state.history] == list(range(1, 21))
    assert state.history[9].val_loss == pytest.approx(0.99**10)
    assert state.history[19].loss == pytest.approx(0.99**20) and state.history[19].epoch == 2


def test_two_trainings_of_one_data_set_lie_side_by_side(house: Services) -> None:
    first, second = (end_of(house, submit(house, asked())) for _ in range(2))
    assert first.model and second.model
    assert second.model.path == "models/checkpoints/facts-2/final"
    assert first.model.model != second.model.model


def test_the_second_waits_and_says_its_place(house: Services, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = submit(house, asked(plan={"wait": 3, "gate": str(gate)}))
    until(house, first, lambda state: state.metrics.get("current_step") == 2)
    second, third = submit(house, asked()), submit(house, asked())
    shown = [training.status(job.id, services=house, identity=LIN) for job in (first, second, third)]
    assert [(state.status, state.position) for state in shown] == [("running", None), ("queued", 1), ("queued", 2)]
    gate.touch()
    assert {end_of(house, job).status for job in (first, second, third)} == {"completed"}


def test_a_killed_trainer_goes_on_from_its_checkpoint(house: Services, tmp_path: Path) -> None:
    runs, gate = tmp_path / "runs", tmp_path / "gate"
    job = submit(house, asked(plan={"wait": 13, "gate": str(gate), "runs": str(runs)}))
    until(house, job, lambda state: state.metrics.get("current_step") == 12)
    os.kill(int(begun(runs)[-1].split()[-1]), signal.SIGKILL)
    begun(runs, 2)
    gate.touch()
    state = end_of(house, job)
    assert (state.status, state.attempt, state.task_id) == ("completed", 1, job.id)
    assert [line.rpartition(" ")[0] for line in begun(runs, 2)][:2] == ["begin 0", "begin 10"]
    assert number_in(house, state) == pytest.approx(0.99**20, abs=1e-9)
    assert [point.step for point in state.history] == list(range(1, 21))


def test_a_trainer_that_dies_at_one_place_ends_with_the_reason(house: Services, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    state = end_of(house, submit(house, asked(plan={"die_always": 8, "runs": str(runs)})))
    assert (state.status, reason(state), state.model) == ("failed", "out_of_memory", None)
    assert [line.rpartition(" ")[0] for line in begun(runs)] == ["begin 0", "begin 5", "begin 5"]


@pytest.mark.parametrize(
    ("plan", "told"),
    [({"hoard": 3}, "out_of_memory"), ({"diverge": 3}, "diverged"), ({"crash": 3}, "internal")],
    ids=["memory", "nan", "fault"],
)
def test_what_goes_wrong_is_the_reason_of_the_job(house: Services, plan: dict[str, Any], told: str) -> None:
    state = end_of(house, submit(house, asked(plan=plan)))
    assert (state.status, reason(state)) == ("failed", told)
    assert "somewhere/private" not in json.dumps(state.error)
    assert house.trained.page(owner="lin")[1] == 0


def test_a_stopped_training_keeps_what_it_has_and_can_go_on(house: Services, tmp_path: Path) -> None:
    runs, gate = tmp_path / "runs", tmp_path / "gate"
    job = submit(house, asked(plan={"wait": 13, "gate": str(gate), "runs": str(runs)}))
    until(house, job, lambda state: state.metrics.get("current_step") == 12)
    assert training.stop(job.id, services=house, identity=LIN).stopping
    stopped = end_of(house, job)
    assert stopped.status == "canceled"
    assert stopped.model and stopped.model.stopped and number_in(house, stopped) == pytest.approx(0.99**13)
    gate.touch()
    house.jobs.retry(job.id)
    ended = end_of(house, job)
    assert ended.status == "completed" and ended.model
    assert (ended.model.model, ended.model.stopped) == (stopped.model.model, False)
    assert begun(runs, 2)[1].startswith("begin 10") and number_in(house, ended) == pytest.approx(0.99**20)


def kept_by(services: Services, name: str = "facts") -> list[str]:
    """The checkpoints that a training of lin's left."""
    home = services.settings.models_dir / "users" / "lin" / "checkpoints" / name / "checkpoints"
    return sorted(path.name for path in home.iterdir()) if home.is_dir() else []


def test_a_finished_training_keeps_its_model_and_no_checkpoint(house: Services, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = submit(house, asked(plan={"wait": 13, "gate": str(gate)}))
    until(house, job, lambda state: state.metrics.get("current_step") == 12)
    assert kept_by(house) == ["step-000005", "step-000010"]
    gate.touch()
    state = end_of(house, job)
    assert kept_by(house) == [] and number_in(house, state) == pytest.approx(0.99**20)


@pytest.mark.parametrize("end", [{"diverge": 13}, {"die_always": 13}], ids=["nan", "dies"])
def test_a_failed_training_keeps_its_newest_checkpoint(house: Services, end: dict[str, int]) -> None:
    assert end_of(house, submit(house, asked(plan=end))).status == "failed"
    assert kept_by(house) == ["step-000010"]


def test_a_stopped_training_keeps_its_newest_checkpoint(house: Services, tmp_path: Path) -> None:
    job = submit(house, asked(plan={"wait": 13, "gate": str(tmp_path / "gate")}))
    until(house, job, lambda state: state.metrics.get("current_step") == 12)
    training.stop(job.id, services=house, identity=LIN)
    state = end_of(house, job)
    assert state.model and state.model.stopped
    assert kept_by(house) == ["step-000010"]


def test_a_stopped_one_in_the_queue_has_ended_at_once(house: Services, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    first = submit(house, asked(plan={"wait": 1, "gate": str(gate)}))
    second = submit(house, asked())
    assert training.stop(second.id, services=house, identity=LIN).status == "canceled"
    assert training.stop(second.id, services=house, identity=LIN).status == "canceled"
    gate.touch()
    assert end_of(house, first).status == "completed"
    with pytest.raises(Conflict):
        training.stop(first.id, services=house, identity=LIN)


def test_an_end_that_nobody_wrote_down_is_not_trained_again(toy_services: Services) -> None:
    resolved, _ = training.prepare(asked(), services=toy_services, identity=LIN)
    job = RememberingJob()
    first = training.train(resolved, services=toy_services, job=job)
    again = training.train(resolved, services=toy_services, job=job)
    assert first == again and toy_services.trained.page(owner="lin")[1] == 1


class RememberingJob(Job):
    """A job with a memory, as the one of a row has it."""

    id, owner = "", "lin"

    def __init__(self) -> None:
        self.memory: dict[str, Any] = {}

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.memory:
            self.memory[name] = make()
        return self.memory[name]

    def keep(self, name: str, value: Any) -> None:
        self.memory[name] = value


def test_the_data_set_is_the_version_that_was_there_at_the_start(toy_services: Services) -> None:
    resolved, estimate = training.prepare(asked(), services=toy_services, identity=LIN)
    assert (resolved.base_model, resolved.dataset_path, resolved.dataset_version) == (BASE, "data/facts.jsonl", None)
    assert (estimate.rows, estimate.longest) == (20, 7)


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"base_model": "nobody-has-this"}, NotFound, "model_not_found"),
        ({"base_model": "llama-2-7b"}, Unavailable, "model_not_installed"),
        ({"base_model": "some-org/some-model"}, Unavailable, "model_not_installed"),
        ({"base_model": "qwen-turbo"}, Invalid, "not_trainable"),
        ({"base_model": "stable-diffusion-v1-5"}, Invalid, "not_trainable"),
        ({"base_model": "resnet50"}, Invalid, "not_trainable"),
        ({"base_model": "models/pickled"}, Invalid, "unsafe_weights"),
        ({"base_model": "empty"}, Invalid, "not_trainable"),
        ({"base_model": "/etc"}, Malformed, "path_forbidden"),
        ({"base_model": "models/../../etc"}, Malformed, "path_forbidden"),
        ({"base_model": "models/users"}, NotFound, "model_not_found"),
        ({"output_dir": "/tmp/out"}, Malformed, "path_forbidden"),
        ({"output_dir": "models/../.."}, Malformed, "path_forbidden"),
        ({"output_dir": "data/raw"}, Malformed, "path_forbidden"),
        ({"output_dir": "models/users/eve"}, Malformed, "path_forbidden"),
        ({"dataset_path": "/etc/passwd"}, Malformed, "path_forbidden"),
        ({"dataset_path": "data/one.jsonl"}, Invalid, "too_few_rows"),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else None,
)
def test_what_cannot_succeed_is_told_before_it_starts(
    toy_services: Services, change: dict[str, Any], error: type[Exception], told: str
) -> None:
    models = toy_services.settings.models_dir
    for folder, name in (("pickled", "pytorch_model.bin"), ("empty", "README"), ("users", "x")):
        (models / folder).mkdir()
        (models / folder / name).touch()
    put_rows(toy_services.settings.data_dir, "one", rows=1)
    with pytest.raises(error) as caught:
        training.prepare(asked().model_copy(update=change), services=toy_services, identity=LIN)
    assert caught.value.details["reason"] == told  # type: ignore[attr-defined]
    assert not (models / "checkpoints").exists()


def test_a_model_that_asks_for_its_own_code_is_refused(toy_services: Services) -> None:
    config = toy_services.settings.models_dir / BASE / "config.json"
    config.write_text(json.dumps({"model_type": "mine", "auto_map": {"AutoModel": "code.Mine"}}))
    with pytest.raises(Invalid) as caught:
        training.prepare(asked(), services=toy_services, identity=LIN)
    assert caught.value.details == {"field": "base_model", "reason": "remote_code"}


def upload(services: Services, who: Identity, rows: int = 20) -> str:
    """A data set of *who*; its id."""
    lines = "".join(json.dumps({"instruction": f"q{n}", "output": f"a{n}"}) + "\n" for n in range(rows))
    kept = services.files.keep(lines.encode(), "uploads", ".data", owner=who.id)
    asked = DatasetUpload(file=kept.name, file_name="own.jsonl", sha256="0", name="Own rows")
    job = services.jobs.submit("datasets.upload", asked, owner=who.id)
    return str(services.jobs.result(services.jobs.wait(job.id, SECONDS)).id)


def test_another_s_data_set_is_not_there_but_for_an_admin(toy_services: Services) -> None:
    dataset_id = upload(toy_services, LIN)
    for name in (dataset_id, "Own rows", "/data/raw/own.jsonl"):
        with pytest.raises(NotFound):
            training.prepare(asked(name), services=toy_services, identity=EVE)
        for who in (LIN, ADMIN):
            resolved, _ = training.prepare(asked(name), services=toy_services, identity=who)
            assert resolved.dataset_path == dataset_id
    state = end_of(toy_services, submit(toy_services, asked(dataset_id), ADMIN))
    assert state.status == "completed" and toy_services.trained.find("Own rows", owner="root").owner == "root"


def test_a_data_set_that_goes_meanwhile_takes_nothing_along(house: Services, tmp_path: Path) -> None:
    dataset_id, gate = upload(house, LIN), tmp_path / "gate"
    job = submit(house, asked(dataset_id, plan={"wait": 3, "gate": str(gate)}))
    until(house, job, lambda state: state.metrics.get("current_step") == 2)
    datasets.remove(dataset_id, services=house, identity=LIN)
    gate.touch()
    state = end_of(house, job)
    assert state.status == "completed" and state.model and state.model.name == "Own rows"


def test_versions_are_of_processed_data_sets_alone(toy_services: Services) -> None:
    with pytest.raises(Invalid) as caught:
        training.prepare(asked(dataset_version=2), services=toy_services, identity=LIN)
    assert caught.value.details == {"field": "dataset_version", "reason": "no_versions"}


def test_pictures_to_validate_with_are_never_passed_over(toy_services: Services) -> None:
    request = asked().model_copy(update={"trainer": "image_classifier", "validation_path": "data/facts.jsonl"})
    with pytest.raises(Invalid) as caught:
        training.prepare(request, services=toy_services, identity=LIN)
    assert (caught.value.details["field"], caught.value.details["reason"]) == ("validation_path", "own_parts")


@pytest.mark.parametrize("text", ["models", "/models", "./models/"])
def test_models_itself_is_a_place_too(house: Services, text: str) -> None:
    state = end_of(house, submit(house, asked(output_dir=text)))
    assert state.model and state.model.path == "models/facts/final"


@pytest.mark.slow
def test_a_killed_training_ends_with_the_weights_of_an_unbroken_one(
    settings: Settings, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real trainer on a tiny model: the process is killed after a checkpoint."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (settings.models_dir).mkdir()
    shutil.copytree(tiny_llama, settings.models_dir / "llama-2-7b")
    shutil.copy(put_manifest(settings.models_dir), settings.models_dir / "llama-2-7b")
    put_rows(settings.data_dir, rows=64)
    services = assemble(settings.model_copy(update={"job_runner": "thread", "cpu_threads": 1}), place="inline")
    request = asked(epochs=12, save_steps=100, batch_size=8, learning_rate=0.01, max_length=64)
    request = request.model_copy(update={"base_model": "llama-2-7b"})
    whole = end_of(services, submit(services, request), REAL_SECONDS)
    broken = submit(services, request)
    kept = settings.models_dir / "users" / "lin" / "checkpoints" / "facts-2" / "checkpoints"
    wait_for(lambda: any(kept.glob("step-*")), what="a checkpoint", seconds=REAL_SECONDS)
    (trainer,) = children()
    os.kill(trainer, signal.SIGKILL)
    ended = end_of(services, broken, REAL_SECONDS)
    assert "goes on from its newest checkpoint" in log_of(services, broken)
    services.close()
    assert (whole.status, ended.status, ended.attempt) == ("completed", "completed", 1)
    assert difference(weights_of(services, whole), weights_of(services, ended)) < 1e-4
    assert ended.history[-1].loss == pytest.approx(whole.history[-1].loss, abs=1e-4)


def log_of(services: Services, job: JobView) -> str:
    return "\n".join(event.data["line"] for event in services.jobs.events(job.id, EventsQuery(type="log")))


def children() -> list[int]:
    """The processes that train for this one."""
    return [pid for pid in children_of(os.getpid()) if b"child_main" in read_of(pid, "cmdline")]


def put_manifest(models_dir: Path) -> Path:
    put_base(models_dir)
    return models_dir / BASE / "polymath.json"


def weights_of(services: Services, state: TrainingState) -> dict[str, Any]:
    from safetensors.torch import load_file

    assert state.model is not None
    row = services.trained.find(state.model.model, owner=None)
    found: dict[str, Any] = load_file(services.trained.folder(row) / "adapter_model.safetensors")
    return found


def difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name].float() - other[name].float()).abs().max()) for name in one)


def test_another_s_training_is_not_there(house: Services) -> None:
    job = submit(house, asked())
    end_of(house, job)
    for deed in (training.status, training.stop, training.glance):
        with pytest.raises(NotFound):
            deed(job.id, services=house, identity=EVE)
    assert training.list_(TrainingsQuery(), services=house, identity=EVE) == ([], 0, None)
    (shown,), count, following = training.list_(TrainingsQuery(), services=house, identity=LIN)
    assert (shown.task_id, count, following, shown.history) == (job.id, 1, None, [])
