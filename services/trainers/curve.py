"""The curve of a training: what it told at each step, thinned evenly, so that it can be drawn after a week too."""

import time
from typing import Any

from services.compute.progress import Job

MOST_POINTS = 500
KEEP_SECONDS = 3.0
CURVE = "curve"
DRAWN = {"epoch": ("epoch",), "loss": ("loss", "train_loss"), "learning_rate": ("learning_rate",)}
# What is measured seldom; a point that has one of these is not passed over for its neighbours.
SELDOM = {"val_loss": ("val_loss",), "accuracy": ("accuracy",)}

Point = dict[str, Any]


class Curve:
    """At most MOST_POINTS points in the order of their steps, spread evenly over them; the last one is the newest."""

    def __init__(self, points: list[Point]) -> None:
        self.points = points

    def add(self, metrics: dict[str, Any]) -> None:
        """Take what was told at a step. A training that went back to its checkpoint draws over what it told before."""
        point = point_of(metrics)
        if point is None:
            return
        while self.points and self.points[-1]["step"] > point["step"]:
            self.points.pop()
        if self.points and self.points[-1]["step"] == point["step"]:
            self.points[-1] |= point
        else:
            self._append(point)

    def _append(self, point: Point) -> None:
        points = self.points
        if len(points) > 1 and _near(points[-2], points[-1], self._gap) and not _is_seldom(points[-1]):
            points.pop()
        points.append(point)
        if len(points) > MOST_POINTS:
            self.points = thinned(points)

    @property
    def _gap(self) -> float:
        """How many steps lie between two points at least."""
        if len(self.points) < MOST_POINTS // 2:
            return 0
        steps: int = self.points[-1]["step"] - self.points[0]["step"]
        return steps / MOST_POINTS


class CurveJob(Job):
    """*job*, which also remembers the curve of what is told; what is told goes on to it."""

    def __init__(self, job: Job) -> None:
        self.id, self.owner, self.request_id, self.attempt = job.id, job.owner, job.request_id, job.attempt
        self._job = job
        self._curve = Curve(list(job.once(CURVE, list)))
        self._kept_at = time.monotonic()
        self._fraction = 0.0

    def progress(self, fraction: float, **metrics: Any) -> None:
        self._curve.add(metrics)
        if time.monotonic() - self._kept_at >= KEEP_SECONDS:
            self.keep_curve()
        # A trainer that begins again has not lost what was done, though it does not know yet how much that is.
        if "current_step" in metrics:
            self._fraction = fraction
        self._job.progress(max(fraction, self._fraction), **metrics)

    def log(self, line: str) -> None:
        self._job.log(line)

    def artifact(self, name: str, **facts: Any) -> None:
        # Whoever goes on from this checkpoint tells nothing of the steps before it.
        self.keep_curve()
        self._job.artifact(name, **facts)

    def check(self) -> None:
        self._job.check()

    @property
    def cancelled(self) -> bool:
        return self._job.cancelled

    def keep_curve(self) -> None:
        """Let what was told until now be remembered."""
        self._kept_at = time.monotonic()
        self._job.keep(CURVE, self._curve.points)


def point_of(metrics: dict[str, Any]) -> Point | None:
    """What of *metrics* is drawn; None where there is no step or nothing to draw."""
    step = metrics.get("current_step")
    if not isinstance(step, int):
        return None
    point: Point = {"step": step}
    for name, sources in (DRAWN | SELDOM).items():
        value = next((metrics[source] for source in sources if metrics.get(source) is not None), None)
        if isinstance(value, int | float):
            point[name] = value
    return point if point.keys() - {"step", "epoch", "learning_rate"} else None


def thinned(points: list[Point]) -> list[Point]:
    """About half of *points*, spread evenly over the steps; the first, the last and the seldom ones stay."""
    gap = 2 * (points[-1]["step"] - points[0]["step"]) / MOST_POINTS
    keep_seldom = sum(map(_is_seldom, points)) <= MOST_POINTS // 2
    kept = points[:1]
    for point in points[1:-1]:
        if not _near(kept[-1], point, gap) or (keep_seldom and _is_seldom(point)):
            kept.append(point)
    return [*kept, points[-1]]


def _near(one: Point, other: Point, gap: float) -> bool:
    return bool(other["step"] - one["step"] < gap)


def _is_seldom(point: Point) -> bool:
    return not SELDOM.keys().isdisjoint(point)
