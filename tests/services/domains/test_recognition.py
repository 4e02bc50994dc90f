"""Recognition: in whose words it tells what it saw."""

import pytest

from services.contracts.models import CatalogRow
from services.contracts.recognition import Classification, ClassifyRequest, Prepared, VisionModel
from services.domains.recognition import _translate


class Pets(VisionModel):
    """A model whose labels happen to be COCO's."""

    @property
    def labels(self) -> list[str]:
        return ["cat", "mouse"]

    def prepare(self, image: object) -> Prepared:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("folder", "language", "told"), [("pets", "zh", "猫"), ("pets", "en", "cat"), ("users/lin/pets", "zh", "cat")]
)
def test_what_somebody_who_trained_a_model_named_is_told_as_it_is(folder: str, language: str, told: str) -> None:
    row = CatalogRow(
        id="pets", name="Pets", abilities=["image-classification"], licence="MIT", engine="classifier", folder=folder
    )
    request = ClassifyRequest(image=f".part-{'0' * 32}", owner="lin", language=language)
    found = [Classification(label="cat", confidence=1)]
    _translate(found, request, row, Pets())
    assert found[0].label == told
