"""A local model's tokenizer and chat template, without the model: from a folder of transformers, or from a GGUF file.

Counting needs the tokenizer alone, and the library that counts is a fifteenth of transformers in memory.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from services.datasets import gguf
from services.datasets.faults import Fault
from services.datasets.formats import Message
from services.errors import Unavailable


class Tokens:
    """Counts tokens and words conversations as the model in *folder* was trained. Raises Unavailable.

    *otherwise* is the chat template of a model that has none.
    """

    def __init__(self, folder: Path, *, otherwise: str | None = None) -> None:
        if (folder / "tokenizer.json").is_file():
            facts = _facts_of_folder(folder)
        elif files := sorted(folder.rglob("*.gguf")):
            facts = gguf.tokenizer(files[0])
        else:
            raise _no_tokenizer(folder.name)
        self._tokenizer = facts.pop("tokenizer")
        self.chat_template: str | None = facts.pop("chat_template") or otherwise
        self._names = facts
        self._template = _compiled(self.chat_template) if self.chat_template else None

    def count(self, texts: list[str]) -> list[int]:
        """How many tokens each of *texts* has, without marks for begin and end."""
        return [len(found.ids) for found in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def ids(self, texts: list[str]) -> list[list[int]]:
        """The tokens of each of *texts*, whole and without marks for begin and end."""
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        return [found.ids for found in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def text(self, ids: list[int], *, marks: bool = True) -> str:
        """What *ids* say; without *marks* the special tokens are left out."""
        found: str = self._tokenizer.decode(ids, skip_special_tokens=not marks)
        return found

    @property
    def begin(self) -> list[int]:
        """The marks that the tokenizer puts before a text; usually none, or one."""
        around: list[int] = self._tokenizer.encode("", add_special_tokens=True).ids
        return [number for number in around if number == self._number("bos_token")][:1]

    @property
    def end(self) -> int | None:
        """The mark that ends a text."""
        return self._number("eos_token")

    @property
    def end_text(self) -> str:
        """How that mark is written; empty where there is none."""
        return str(self._names["eos_token"])

    def _number(self, name: str) -> int | None:
        number: int | None = self._tokenizer.token_to_id(self._names[name])
        return number

    def speaker(self) -> Callable[[int], str]:
        """What takes an answer's tokens one by one and gives the text that each of them completes."""
        from tokenizers.decoders import DecodeStream

        stream = DecodeStream(skip_special_tokens=True)
        return lambda number: stream.step(self._tokenizer, number) or ""

    def render(self, messages: list[Message], *, add_generation_prompt: bool = False) -> str | Fault:
        """The conversation as one text by the chat template; what is wrong with it where the template refuses it.

        With *add_generation_prompt* the text ends where an answer begins. Raises Unavailable for a model without
        a chat template.
        """
        from jinja2 import TemplateError

        if self._template is None:
            raise Unavailable(
                "The model has no chat template; give a template of your own.",
                "该模型没有对话模板，请自行提供 template。",
                details={"reason": "no_chat_template"},
            )
        try:
            asked = {"messages": messages, "add_generation_prompt": add_generation_prompt}
            return str(self._template.render(**asked, **self._names))
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
