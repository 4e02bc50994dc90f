"""Faces on dlib: a HOG detector, five landmarks, and a network that makes 128 numbers of a face.

Landmarks and chips are taken from the picture as it is; the detector looks at one that is scaled down where
it is large, which finds faces from 80 pixels there. Source: dlib 20.0, face_recognition.py among its examples.
"""

import gc
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from services.compute.batches import Batches
from services.contracts.faces import Box, FaceFinder, Landmarks, Pixel, SeenFace
from services.contracts.models import Manifest
from services.engines.base import Engine
from services.engines.face_network import CHIP_SIDE, FaceNetwork
from services.errors import Unavailable

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    Pixels = np.ndarray[Any, Any]

MANIFEST = "polymath.json"
PREDICTOR = "shape_predictor_5_face_landmarks.dat"
NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
# With upsampling it takes a second more and finds faces that are none, at scores under 0.5.
UPSAMPLING = 0
LEAST_SCORE = 0.5
LONGEST_SIDE = 1600
# Faces of one person are nearer than this, by dlib's own measure: 0.9938 right on Labeled Faces in the Wild.
SAME_DISTANCE = 0.6
STEEPNESS = 4
CONFIDENCE_DIGITS = 4

MOST_TOGETHER = 16
MOST_WAITING = 64


@dataclass(frozen=True, slots=True)
class _Found:
    """What the detector found: score and box, in pixels of the picture that it looked at."""

    score: float
    rectangle: Any


class DlibFaces(Engine, FaceFinder):
    """A detector, a predictor of landmarks and a network. `find()` may be called from many threads."""

    name: ClassVar[str] = "faces"

    def load(self) -> None:
        try:
            import dlib
        except ImportError as error:
            raise _no_library() from error
        self._dlib = dlib
        self._revision = Manifest.model_validate_json((self.path / MANIFEST).read_bytes()).revision
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(self.path / PREDICTOR))
        self._network = FaceNetwork(self.path / NETWORK)
        self._network.start()
        self._detections: Batches[Pixels, list[_Found]] = Batches(
            self._detect, name="batches-face-detection", max_batch=MOST_TOGETHER, max_waiting=MOST_WAITING
        )
        self._embeddings: Batches[list[Pixels], list[bytes]] = Batches(
            self._measure, name="batches-face-embedding", max_batch=MOST_TOGETHER, max_waiting=MOST_WAITING
        )

    def unload(self) -> None:
        self._detections.close()
        self._embeddings.close()
        self._network.close()
        del self._detector, self._predictor
        gc.collect()

    @property
    def spent(self) -> bool:
        return self._network.replaced

    @property
    def revision(self) -> str:
        return self._revision

    def find(self, image: "Image", *, measure: bool, owner: str) -> list[SeenFace]:
        import numpy as np

        scaled = _scaled(image)
        found = self._detections.do(np.asarray(scaled), owner=owner)
        if not found:
            return []
        pixels, factor = np.asarray(image), image.width / scaled.width
        shapes = [self._predictor(pixels, self._enlarged(face.rectangle, factor)) for face in found]
        embeddings = [b""] * len(found)
        if measure:
            chips = [self._dlib.get_face_chip(pixels, shape, size=CHIP_SIDE) for shape in shapes]
            embeddings = self._embeddings.do(chips, owner=owner)
        return [
            SeenFace(_certainty(face.score), _box(shape.rect, image.size), _landmarks(shape, image.size), embedding)
            for face, shape, embedding in zip(found, shapes, embeddings, strict=True)
        ]

    def confidence(self, distance: float) -> float:
        """A half at the distance at which dlib parts persons, 0.99 at a third of it, 0.06 at twice it."""
        return round(1 / (1 + (distance / SAME_DISTANCE) ** STEEPNESS), CONFIDENCE_DIGITS)

    def _detect(self, pictures: "list[Pixels]") -> list[list[_Found] | Exception]:
        return [self._faces_on(pixels) for pixels in pictures]

    def _faces_on(self, pixels: "Pixels") -> list[_Found]:
        rectangles, scores, _ = self._detector.run(pixels, UPSAMPLING, LEAST_SCORE)
        return [_Found(score, rectangle) for rectangle, score in zip(rectangles, scores, strict=True)]

    def _measure(self, several: "list[list[Pixels]]") -> list[list[bytes] | Exception]:
        """The embeddings of the chips of each caller, all computed in one call."""
        embeddings = iter(self._network.measure([chip for chips in several for chip in chips]))
        return [[next(embeddings) for _ in chips] for chips in several]

    def _enlarged(self, rectangle: Any, factor: float) -> Any:
        edges = (rectangle.left(), rectangle.top(), rectangle.right() + 1, rectangle.bottom() + 1)
        left, top, right, bottom = (round(edge * factor) for edge in edges)
        return self._dlib.rectangle(left, top, right - 1, bottom - 1)


def _scaled(image: "Image") -> "Image":
    """*image* no longer than the detector looks at."""
    from PIL import Image

    factor = LONGEST_SIDE / max(image.size)
    if factor >= 1:
        return image
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2)


def _certainty(score: float) -> float:
    """A detector's score from 0.5 up as a number from 0.73 to 1."""
    return round(1 / (1 + math.exp(-2 * score)), CONFIDENCE_DIGITS)


def _box(rectangle: Any, size: tuple[int, int]) -> Box:
    """The box within the picture: [x1, y1, x2, y2] with the last row and column beyond it."""
    left, top = _within(rectangle.left(), rectangle.top(), size)
    right, bottom = _within(rectangle.right() + 1, rectangle.bottom() + 1, size)
    return left, top, right, bottom


def _landmarks(shape: Any, size: tuple[int, int]) -> Landmarks:
    """dlib's points: outer and inner corner of one eye, outer and inner corner of the other, nose."""
    first, second, nose = (shape.part(0), shape.part(1)), (shape.part(2), shape.part(3)), shape.part(4)
    left, right = sorted((first, second), key=lambda eye: eye[0].x + eye[1].x)
    return Landmarks(
        left_eye=_middle(left, size),
        right_eye=_middle(right, size),
        left_eye_outer=_pixel(left[0].x, left[0].y, size),
        left_eye_inner=_pixel(left[1].x, left[1].y, size),
        right_eye_inner=_pixel(right[1].x, right[1].y, size),
        right_eye_outer=_pixel(right[0].x, right[0].y, size),
        nose=_pixel(nose.x, nose.y, size),
    )


def _middle(corners: tuple[Any, Any], size: tuple[int, int]) -> Pixel:
    first, second = corners
    return _pixel(round((first.x + second.x) / 2), round((first.y + second.y) / 2), size)


def _pixel(x: int, y: int, size: tuple[int, int]) -> Pixel:
    """The pixel itself, or the nearest of the picture: faces at its edge reach beyond it."""
    return min(max(x, 0), size[0] - 1), min(max(y, 0), size[1] - 1)


def _within(x: int, y: int, size: tuple[int, int]) -> Pixel:
    """The corner of a box, which may lie behind the last pixel."""
    return min(max(x, 0), size[0]), min(max(y, 0), size[1])


def _no_library() -> Unavailable:
    return Unavailable(
        "dlib is not installed; run: pip install dlib-bin",
        "未安装 dlib，请运行：pip install dlib-bin",
        details={"reason": "library_missing"},
    )
