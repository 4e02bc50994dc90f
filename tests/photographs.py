"""Real photographs: those that scikit-image brings along, such as a cat, an espresso and an astronaut."""

import importlib.util
from pathlib import Path


def photograph(name: str) -> Path:
    """The file of one photograph: `chelsea` (a cat), `coffee`, `astronaut`, `rocket`…"""
    spec = importlib.util.find_spec("skimage")
    assert spec and spec.origin, "scikit-image is in requirements-dev.txt"
    return next((Path(spec.origin).parent / "data").glob(f"{name}.*"))
