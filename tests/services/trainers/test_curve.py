"""The curve of a training: bounded, even, and true to what was told."""

from itertools import pairwise
from typing import Any

from services.compute.progress import Job
from services.trainers.curve import MOST_POINTS, Curve, CurveJob, point_of


def told(step: int, **more: Any) -> dict[str, Any]:
    return {"current_step": step, "train_loss": 1 / (step + 1), "learning_rate": 0.1, **more}


def drawn(steps: int, every: int = 1) -> Curve:
    curve = Curve([])
    for step in range(1, steps + 1):
        curve.add(told(step, **({"val_loss": 2.0} if every > 1 and step % every == 0 else {})))
    return curve


def test_a_short_training_has_every_step() -> None:
    assert [point["step"] for point in drawn(200).points] == list(range(1, 201))


def test_a_long_one_is_thinned_evenly_and_ends_now() -> None:
    curve = drawn(100_000)
    steps = [point["step"] for point in curve.points]
    assert MOST_POINTS / 3 < len(steps) <= MOST_POINTS
    assert (steps[0], steps[-1]) == (1, 100_000)
    assert max(later - earlier for earlier, later in pairwise(steps)) < 5 * 100_000 / MOST_POINTS


def test_what_is_measured_seldom_is_not_passed_over() -> None:
    curve = drawn(20_000, every=200)
    measured = [point["step"] for point in curve.points if "val_loss" in point]
    assert measured == list(range(200, 20_001, 200)) and len(curve.points) <= MOST_POINTS


def test_a_thousand_measurements_are_bounded_too() -> None:
    assert len(drawn(20_000, every=2).points) <= MOST_POINTS


def test_a_training_that_went_back_draws_over_what_it_told() -> None:
    curve = drawn(30)
    curve.add(told(21, train_loss=7.0))
    assert [point["step"] for point in curve.points] == list(range(1, 22))
    assert curve.points[-1]["loss"] == 7.0


def test_what_is_told_twice_of_a_step_is_one_point() -> None:
    curve = drawn(3)
    curve.add(told(3, val_loss=4.0))
    assert curve.points[-1] == {"step": 3, "loss": 0.25, "learning_rate": 0.1, "val_loss": 4.0}


def test_what_has_no_step_or_no_figure_is_no_point() -> None:
    assert point_of({"stage": "loading"}) is None
    assert point_of({"current_step": 3, "learning_rate": 0.1}) is None
    assert point_of({"current_step": 3, "train_loss": "much"}) is None


class Remembering(Job):
    def __init__(self) -> None:
        self.memory: dict[str, Any] = {"curve": [{"step": 1, "loss": 3.0}]}

    def once(self, name: str, make: Any) -> Any:
        return self.memory.setdefault(name, make())

    def keep(self, name: str, value: Any) -> None:
        self.memory[name] = list(value)

    def progress(self, fraction: float, **metrics: Any) -> None:
        self.memory["fraction"] = fraction


def test_the_next_attempt_draws_on() -> None:
    job = Remembering()
    curve = CurveJob(job)
    curve.progress(0.5, **told(2))
    curve.keep_curve()
    assert [point["step"] for point in job.memory["curve"]] == [1, 2]


def test_who_begins_again_is_as_far_as_before_until_it_tells_of_a_step() -> None:
    job = Remembering()
    curve = CurveJob(job)
    seen = []
    for fraction, metrics in ((0.6, told(12)), (0.0, {"status": "loading"}), (0.55, told(11))):
        curve.progress(fraction, **metrics)
        seen.append(job.memory["fraction"])
    assert seen == [0.6, 0.6, 0.55]
