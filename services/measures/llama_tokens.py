"""A GGUF file on llama.cpp, asked for its tokens as numbers: what it says greedily, and how likely that was."""

import secrets
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services import connections
from services.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

# Of so many of the likeliest tokens llama.cpp tells the chances.
LIKELIEST = 20


class LlamaTokens:
    """A loaded file; opened by `opened`."""

    def __init__(self, server: Any, key: str) -> None:
        self._server, self._key = server, key
        self._port = connections.open_pool()

    def ids(self, text: str) -> list[int]:
        """The tokens of *text*, marks in it among them."""
        found: list[int] = self._ask("/tokenize", {"content": text, "add_special": False, "parse_special": True})[
            "tokens"
        ]
        return found

    def speak(self, prompt: Sequence[int], most_tokens: int) -> list[tuple[int, dict[int, float]]]:
        """The likeliest tokens after *prompt*, each with the logarithms of the chances of the likeliest ones."""
        asked = {"prompt": list(prompt), "n_predict": most_tokens, "temperature": 0, "n_probs": LIKELIEST}
        told = self._ask("/completion", asked | {"cache_prompt": False, "stream": False, "return_tokens": True})
        chances = told.get("completion_probabilities") or []
        return [(one["id"], {top["id"]: top["logprob"] for top in one["top_logprobs"]}) for one in chances]

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        address, headers = self._server.listening_address + path, {"Authorization": f"Bearer {self._key}"}
        answer = self._port.request("POST", address, json=body, headers=headers)
        if answer.status != 200:
            raise _broken(f"status {answer.status}")
        told: dict[str, Any] = answer.json()
        return told


@contextmanager
def opened(file: Path, *, context_tokens: int, threads: int) -> "Iterator[LlamaTokens]":
    """The model in *file*, loaded as long as the block lasts; *threads* 0 lets llama.cpp choose."""
    import xllamacpp

    key = secrets.token_urlsafe(24)
    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_parallel, params.n_ctx = 1, context_tokens
    params.warmup, params.ui, params.verbosity = False, False, 1
    params.api_keys = [key]
    if threads:
        params.cpuparams.n_threads = threads
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise _broken(str(error)) from error
    try:
        yield LlamaTokens(server, key)
    finally:
        del server


def differences(
    told: Sequence[tuple[int, dict[int, float]]], adapter: "np.ndarray[Any, Any]"
) -> "np.ndarray[Any, Any]":
    """How far llama.cpp's logarithms of chances are from those of *adapter*, logits (tokens, words): a flat list."""
    import numpy as np

    shifted = adapter - adapter.max(axis=1, keepdims=True)
    chances = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    pairs = [(place, word, chance) for place, (_, tops) in enumerate(told) for word, chance in tops.items()]
    return np.array([abs(float(chances[place, word]) - chance) for place, word, chance in pairs])


def _broken(cause: str) -> Unavailable:
    return Unavailable(
        "llama.cpp cannot run the merged model ({cause}); merge it as safetensors.",
        "llama.cpp 无法运行合并后的模型（{cause}），请合并为 safetensors。",
        details={"reason": "model_broken"},
        cause=cause[:200],
    )
