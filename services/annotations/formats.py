"""A described picture as a row of training data.

Sources: OpenAI's vision fine-tuning (messages with image parts), LLaVA's `llava_instruct` files, ShareGPT as
LLaMA-Factory reads it with `images`, and Stanford Alpaca with an `images` column.
"""

from dataclasses import dataclass
from typing import Any

from services.contracts.annotations import DatasetFormat

FOLDER = "images"
MARK = "<image>"


@dataclass(frozen=True, slots=True)
class Example:
    """A picture by its kept name, what was asked about it, and what was answered."""

    file_name: str
    system_prompt: str
    prompt: str
    description: str
    demo: bool = False

    @property
    def image(self) -> str:
        """Where the picture lies beside the rows."""
        return f"{FOLDER}/{self.file_name}"


def row(example: Example, shape: DatasetFormat) -> dict[str, Any]:
    """*example* in one of the shapes; what a demonstration made says so."""
    made = WRITERS[shape](example)
    return made | {"demo": True} if example.demo else made


def _openai(example: Example) -> dict[str, Any]:
    asked = [{"type": "text", "text": example.prompt}, {"type": "image_url", "image_url": {"url": example.image}}]
    system = [{"role": "system", "content": example.system_prompt}] if example.system_prompt else []
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": example.description}]
    return {"messages": [*system, *turns]}


def _sharegpt(example: Example) -> dict[str, Any]:
    return _conversation(example) | {"images": [example.image]}


def _llava(example: Example) -> dict[str, Any]:
    return {"id": example.file_name.partition(".")[0], "image": example.image} | _conversation(example)


def _conversation(example: Example) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": f"{MARK}\n{example.prompt}"},
        {"from": "gpt", "value": example.description},
    ]
    return {"conversations": turns} | ({"system": example.system_prompt} if example.system_prompt else {})


def _alpaca(example: Example) -> dict[str, Any]:
    told = {"instruction": example.prompt, "input": "", "output": example.description, "images": [example.image]}
    return told | ({"system": example.system_prompt} if example.system_prompt else {})


def _labels(example: Example) -> dict[str, Any]:
    """What was said of the picture is its class: so does a classifier learn from it."""
    return {"image": example.image, "label": example.description.strip()}


WRITERS = {"openai": _openai, "sharegpt": _sharegpt, "llava": _llava, "alpaca": _alpaca, "labels": _labels}
