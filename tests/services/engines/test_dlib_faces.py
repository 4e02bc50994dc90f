"""dlib's faces with their real weights, beside dlib called directly."""

import math
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from services.contracts.faces import SeenFace
from services.contracts.models import CatalogRow
from services.engines.dlib_faces import NETWORK, DlibFaces, _landmarks
from services.engines.face_network import FaceNetwork
from services.errors import Unavailable
from services.settings import Settings
from tests.face_models import ASTRONAUT_BOX, FACES, astronaut, found_again, stranger, twins

Find = Callable[..., list[SeenFace]]


@pytest.fixture(scope="module")
def engine(face_models: Path) -> Iterator[DlibFaces]:
    row = CatalogRow(id=FACES, name=FACES, abilities=["face-recognition"], licence="CC0-1.0", engine="faces")
    loaded = DlibFaces(row, face_models / FACES, Settings(_env_file=None))
    loaded.load()
    yield loaded
    loaded.unload()


@pytest.fixture
def find(engine: DlibFaces) -> Find:
    """The faces on a picture."""
    return lambda image, measure=True: engine.find(image, measure=measure, owner="user-1")


def numbers(face: SeenFace) -> Any:
    return np.frombuffer(face.embedding, "<f4")


def apart(one: SeenFace, other: SeenFace) -> float:
    return float(np.linalg.norm(numbers(one) - numbers(other)))


def test_a_face_is_where_dlib_says(find: Find) -> None:
    (face,) = find(astronaut(), measure=False)
    assert (face.bbox, face.embedding) == (ASTRONAUT_BOX, b"")
    assert face.confidence == pytest.approx(1 / (1 + math.exp(-2 * 1.534)), abs=1e-3)


def test_the_embedding_is_dlibs(find: Find, face_models: Path) -> None:
    import dlib

    pixels, folder = np.asarray(astronaut()), face_models / FACES
    detector = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
    network = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))
    wanted = network.compute_face_descriptor(pixels, predictor(pixels, detector(pixels)[0]))
    (face,) = find(astronaut())
    assert numbers(face).shape == (128,)
    assert numbers(face) == pytest.approx(np.asarray(wanted), abs=1e-5)


@pytest.mark.parametrize("mirrored", [False, True])
def test_five_points_and_two_eyes_are_named_by_their_place(find: Find, mirrored: bool) -> None:
    image = ImageOps.mirror(astronaut()) if mirrored else astronaut()
    (face,) = find(image, measure=False)
    points = face.landmarks
    order = ["left_eye_outer", "left_eye", "left_eye_inner", "nose", "right_eye_inner", "right_eye", "right_eye_outer"]
    across = [getattr(points, name)[0] for name in order]
    assert across == sorted(across) and len(set(across)) == 7
    assert points.nose[1] > max(points.left_eye[1], points.right_eye[1])
    left, top, right, bottom = face.bbox
    assert all(left <= x <= right and top <= y <= bottom for x, y in points.model_dump().values())


def test_one_person_is_near_and_another_is_far(engine: DlibFaces, find: Find) -> None:
    (face,), (again,), (other,) = find(astronaut()), find(found_again()), find(stranger())
    assert apart(face, again) < 0.3
    assert apart(face, other) > 0.7
    assert engine.confidence(apart(face, again)) > 0.95
    assert engine.confidence(apart(face, other)) < 0.3


def test_confidence_falls_from_one_to_nothing(engine: DlibFaces) -> None:
    sure = [engine.confidence(distance) for distance in (0, 0.2, 0.4, 0.6, 0.8, 1.2, 3)]
    assert sure == sorted(sure, reverse=True)
    assert (sure[0], sure[3], round(sure[-1], 2)) == (1, 0.5, 0)


def test_two_faces_are_two_the_surest_first(find: Find) -> None:
    seen = find(twins())
    assert [face.bbox[0] > 250 for face in seen] == [False, True]
    assert seen[0].confidence > seen[1].confidence
    assert apart(*seen) < 0.3


def test_a_large_photo_is_measured_in_its_own_pixels(find: Find) -> None:
    large = astronaut().resize((4096, 4096), Image.Resampling.BICUBIC)
    (face,), (small,) = find(large), find(astronaut())
    assert np.asarray(face.bbox) / 8 == pytest.approx(np.asarray(small.bbox), abs=12)
    assert np.asarray(face.landmarks.nose) / 8 == pytest.approx(np.asarray(small.landmarks.nose), abs=4)
    assert apart(face, small) < 0.2


def test_what_reaches_over_the_edge_is_cut(find: Find) -> None:
    image = astronaut().crop((190, 70, 420, 300))
    for face in find(image, measure=False):
        left, top, right, bottom = face.bbox
        assert 0 <= left < right <= image.width and 0 <= top < bottom <= image.height
        assert all(0 <= x < image.width and 0 <= y < image.height for x, y in face.landmarks.model_dump().values())


def test_points_beyond_the_edge_are_its_last_pixels() -> None:
    import dlib

    corners = [dlib.point(x, y) for x, y in ((-9, 5), (2, 5), (60, 5), (40, 5), (64, 48))]
    found = _landmarks(dlib.full_object_detection(dlib.rectangle(0, 0, 64, 48), corners), (64, 48))
    assert (found.left_eye_outer, found.right_eye_outer, found.nose) == ((0, 5), (60, 5), (63, 47))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (79, 79), (1, 4000), (6000, 1), (640, 480)])
def test_no_face_on_a_picture_of_nothing(find: Find, size: tuple[int, int]) -> None:
    assert find(Image.new("RGB", size, "grey")) == []


def test_many_at_once_each_get_their_own(find: Find) -> None:
    alone = {name: find(image())[0] for name, image in PEOPLE.items()}
    together = threading.Barrier(9)

    def ask(name: str) -> tuple[str, list[SeenFace]]:
        image = PEOPLE[name]()
        together.wait(30)
        return name, find(image)

    with ThreadPoolExecutor(9) as pool:
        for name, seen in pool.map(ask, [*PEOPLE] * 3):
            assert [face.bbox for face in seen][:1] == [alone[name].bbox]
            assert apart(seen[0], alone[name]) < 1e-4


PEOPLE: dict[str, Callable[[], Image.Image]] = {"astronaut": astronaut, "again": found_again, "stranger": stranger}


def test_others_go_on_while_faces_are_measured(engine: DlibFaces) -> None:
    """dlib holds Python's lock; were it in this process, the count would stand still."""
    counted, done = [0], threading.Event()

    def count() -> None:
        while not done.wait(0.001):
            counted[0] += 1

    chips = [np.zeros((150, 150, 3), np.uint8)] * 8
    counter = threading.Thread(target=count)
    counter.start()
    before = counted[0]
    engine._network.measure(chips)
    after = counted[0]
    done.set()
    counter.join()
    assert after - before > 20


def test_a_crowd_goes_in_portions(engine: DlibFaces) -> None:
    chips = [np.full((150, 150, 3), number * 10, np.uint8) for number in range(19)]
    measured = engine._network.measure(chips)
    assert [len(one) for one in measured] == [512] * 19
    assert measured[18] == engine._network.measure(chips[18:])[0] != measured[0]


def test_a_process_that_was_killed_is_started_again(find: Find, engine: DlibFaces) -> None:
    (before,) = find(astronaut())
    killed = engine._network._process
    assert killed
    killed.kill()
    killed.wait(10)
    assert find(astronaut())[0].embedding == before.embedding
    assert engine._network._process is not killed


def test_weights_that_were_exchanged_are_not_taken_by_a_process_that_is_started_again(
    face_models: Path, tmp_path: Path
) -> None:
    file = tmp_path / NETWORK
    shutil.copy(face_models / FACES / NETWORK, file)
    network = FaceNetwork(file)
    chips = [np.zeros((150, 150, 3), np.uint8)]
    assert network.measure(chips) == network.measure(chips)
    shutil.copy(file, tmp_path / "other")
    (tmp_path / "other").rename(file)
    assert len(network.measure(chips)) == 1
    network.close()
    with pytest.raises(Unavailable):
        network.measure(chips)
    assert network.replaced


def test_weights_that_cannot_be_read_are_told(face_models: Path, tmp_path: Path) -> None:
    for file in (face_models / FACES).iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / NETWORK).unlink()
    (tmp_path / NETWORK).write_bytes(b"no weights")
    row = CatalogRow(id=FACES, name=FACES, abilities=["face-recognition"], licence="CC0-1.0", engine="faces")
    with pytest.raises(Unavailable) as told:
        DlibFaces(row, tmp_path, Settings(_env_file=None)).load()
    assert told.value.details["reason"] == "face_network_died"


def test_an_unloaded_engine_leaves_no_process_and_no_thread(face_models: Path) -> None:
    row = CatalogRow(id=FACES, name=FACES, abilities=["face-recognition"], licence="CC0-1.0", engine="faces")
    before = set(threading.enumerate())
    brief = DlibFaces(row, face_models / FACES, Settings(_env_file=None))
    brief.load()
    process = brief._network._process
    assert process
    brief.unload()
    assert process.poll() is not None
    assert set(threading.enumerate()) <= before
