"""A local model's tokenizer and chat template, without the model: from a folder of transformers, or from a GGUF file.

Counting needs the tokenizer alone, and the library that counts is a fifteenth of transformers in memory.
"""

from pathlib import Path
from typing import Any

import orjson

from services.datasets import gguf
from services.datasets.faults import Fault
from services.datasets.formats import Message
from services.errors import Unavailable


class Tokens:
    """Counts tokens and words conversations as the model in *folder* was trained. Raises Unavailable."""

    def __init__(self, folder: Path) -> None:
        if (folder / "tokenizer.json").is_file():
            facts = _facts_of_folder(folder)
        elif files := sorted(folder.rglob("*.gguf")):
            facts = gguf.tokenizer(files[0])
        else:
            raise _no_tokenizer(folder.name)
        self._tokenizer = facts.pop("tokenizer")
        template = facts.pop("chat_template")
        self._names = facts
        self._template = _compiled(template) if template else None

    def count(self, texts: list[str]) -> list[int]:
        """How many tokens each of *texts* has, without marks for begin and end."""
        return [len(found.ids) for found in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def render(self, messages: list[Message]) -> str | Fault:
        """The conversation as one text by the chat template; what is wrong with it where the template refuses it.

        Raises Unavailable for a model without a chat template.
        """
        from jinja2 import TemplateError

        if self._template is None:
            raise Unavailable(
                "The model has no chat template; give a template of your own.",
                "该模型没有对话模板，请自行提供 template。",
                details={"reason": "no_chat_template"},
            )
        try:
            return str(self._template.render(messages=messages, add_generation_prompt=False, **self._names))
        except (TemplateError, TypeError) as error:
            told = str(error)[:100]
            return Fault("chat_template", f"does not fit the chat template ({told})", f"不符合对话模板（{told}）")


def _facts_of_folder(folder: Path) -> dict[str, Any]:
    from tokenizers import Tokenizer

    config: dict[str, Any] = {}
    if (folder / "tokenizer_config.json").is_file():
        config = orjson.loads((folder / "tokenizer_config.json").read_bytes())
    template = config.get("chat_template")
    if isinstance(template, list):
        template = next((one["template"] for one in template if one["name"] == "default"), None)
    if (folder / "chat_template.jinja").is_file():
        template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    return {
        "tokenizer": Tokenizer.from_file(str(folder / "tokenizer.json")),
        "chat_template": template,
        "bos_token": _word(config.get("bos_token")),
        "eos_token": _word(config.get("eos_token")),
    }


def _word(token: Any) -> str:
    """A token's text; a configuration may say more of it."""
    return str(token.get("content", "")) if isinstance(token, dict) else token or ""


def _compiled(template: str) -> Any:
    """The template in a sandbox, with the few functions that chat templates use; none tells the time."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = raise_exception
    environment.filters["tojson"] = lambda value, **_options: orjson.dumps(value).decode()
    return environment.from_string(template)


def _no_tokenizer(name: str) -> Unavailable:
    return Unavailable(
        "Model {name} has no tokenizer that can be read here.",
        "模型 {name} 没有可用的分词器。",
        details={"reason": "no_tokenizer"},
        name=name,
    )
