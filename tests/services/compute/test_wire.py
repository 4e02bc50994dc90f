"""What the web and the engine host say to each other comes over as it was."""

import pytest

from services.compute import wire
from services.contracts.recognition import DetectRequest


@pytest.mark.parametrize("attached", [b"", b"\n", b"\x89PNG\r\n\x1a\n\n\n{}"])
def test_what_is_attached_comes_back_beside_the_request(attached: bytes) -> None:
    request = DetectRequest(owner="a\nb", labels=["c\nd"], attached=attached)
    question = b"recognition.detect\n" + wire.pack_request(request)
    assert wire.function_name(question) == "recognition.detect"
    assert wire.unpack_request(DetectRequest, question) == request
