"""Sentence embeddings on transformers: folders as sentence-transformers writes them.

Source: UKPLab/sentence-transformers 5, the modules Transformer, Pooling and Normalize.
"""

import base64
import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from services.compute.batches import Batches
from services.contracts.embeddings import EmbeddingModel, EmbeddingRequest, Embeddings
from services.contracts.models import CatalogRow
from services.engines.base import Engine
from services.engines.folders import ModelFolder
from services.errors import Invalid, Unavailable

if TYPE_CHECKING:
    import torch

MODULES, POOLING, LENGTHS = "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"
SENTENCE_TRANSFORMERS = "config_sentence_transformers.json"
MEAN, FIRST = "pooling_mode_mean_tokens", "pooling_mode_cls_token"
UNDERSTOOD = {"Transformer", "Pooling", "Normalize"}
DEFAULT_MOST_TOKENS = 512
# Texts of one caller that wait together: whoever sends thousands lets others in between.
TEXTS_A_TURN = 64
MOST_TURNS, MOST_WAITING = 8, 64
# How many tokens go through a model together, padding counted; a GPU wants many.
TOKENS_A_PASS = {"cuda": 65_536, "cpu": 4_096}

Sequence = list[int]


class Embedder(Engine, EmbeddingModel):
    """A model of sentences and the one thread that runs it. `embed()` may be called from many threads."""

    name: ClassVar[str] = "embedder"

    @classmethod
    def rows_of(cls, folder: ModelFolder) -> Iterator[CatalogRow]:
        if folder.has(MODULES) and folder.has(SENTENCE_TRANSFORMERS):
            yield folder.row(cls.name, ["embeddings"], "Sentences as numbers")

    def load(self) -> None:
        import torch
        import transformers

        if self.settings.cpu_threads:
            torch.set_num_threads(self.settings.cpu_threads)
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._by_mean = self._pools_by_mean()
        folder, options = str(self.path), {"local_files_only": True, "trust_remote_code": False}
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
            model = transformers.AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32, **options)
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise self._unusable(str(error)) from error
        # The library's own tokenizer changes with every call how it cuts and pads; this one never does.
        self._tokenizer = tokenizer.backend_tokenizer
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._padding, self._end = tokenizer.pad_token_id or 0, tokenizer.sep_token_id
        self._model: Any = model.to(self._device).eval()
        positions = getattr(model.config, "max_position_embeddings", DEFAULT_MOST_TOKENS)
        told = ModelFolder(self.path).read(LENGTHS).get("max_seq_length")
        self._most_tokens = min(int(told or positions), positions)
        self._batches: Batches[list[Sequence], list[str]] = Batches(
            self._run, name=f"batches-{self.row.id}", max_batch=MOST_TURNS, max_waiting=MOST_WAITING
        )

    def unload(self) -> None:
        self._batches.close()
        del self._model, self._tokenizer
        gc.collect()
        if self._device != "cpu":
            import torch

            torch.cuda.empty_cache()

    def embed(self, request: EmbeddingRequest, *, owner: str) -> Embeddings:
        if request.dimensions and request.dimensions != self._model.config.hidden_size:
            raise Invalid(
                "dimensions",
                "Model {model} has vectors of {size} numbers and cannot shorten them; leave 'dimensions' out.",
                "模型 {model} 的向量固定为 {size} 维，无法缩短，请去掉参数'dimensions'。",
                reason="unsupported",
                model=self.row.id,
                size=self._model.config.hidden_size,
            )
        sequences = self._sequences(request)
        vectors: list[str] = []
        for start in range(0, len(sequences), TEXTS_A_TURN):
            vectors += self._batches.do(sequences[start : start + TEXTS_A_TURN], owner=owner)
        return Embeddings(vectors, sum(map(len, sequences)), self.row.id)

    def _sequences(self, request: EmbeddingRequest) -> list[Sequence]:
        """The inputs as tokens, the marks at both ends included."""
        texts = [self._text(each) if isinstance(each, list) else each for each in request.inputs]
        sequences = []
        for number, encoding in enumerate(self._tokenizer.encode_batch(texts)):
            if len(encoding.ids) > self._most_tokens and not request.truncate:
                raise _too_long(number, len(encoding.ids), self._most_tokens, self.row.id)
            sequences.append(self._cut(encoding.ids))
        return sequences

    def _cut(self, ids: Sequence) -> Sequence:
        """As many of *ids* as the model reads, the mark at their end among them."""
        if len(ids) <= self._most_tokens:
            return ids
        return ids[: self._most_tokens] if self._end is None else [*ids[: self._most_tokens - 1], self._end]

    def _text(self, tokens: Sequence) -> str:
        if max(tokens) >= self._tokenizer.get_vocab_size():
            raise Invalid(
                "input",
                "Token {token} is none of model {model}; send texts, which it splits by itself.",
                "词元 {token} 不在模型 {model} 的词表中，请直接发送文本。",
                reason="unknown_token",
                token=max(tokens),
                model=self.row.id,
            )
        return str(self._tokenizer.decode(tokens))

    def _run(self, turns: list[list[Sequence]]) -> list[list[str] | Exception]:
        """The vectors of each turn's texts; all go through the model sorted by length, so that little is padded."""
        everything = [sequence for turn in turns for sequence in turn]
        order = sorted(range(len(everything)), key=lambda number: len(everything[number]))
        vectors: list[str] = [""] * len(everything)
        for numbers in _passes(order, everything, TOKENS_A_PASS[self._device]):
            for number, vector in zip(numbers, self._pass([everything[n] for n in numbers]), strict=True):
                vectors[number] = vector
        taken = iter(vectors)
        return [[next(taken) for _ in turn] for turn in turns]

    def _pass(self, sequences: list[Sequence]) -> list[str]:
        import torch

        longest = max(map(len, sequences))
        ids = torch.tensor([each + [self._padding] * (longest - len(each)) for each in sequences], device=self._device)
        mask = torch.tensor([[1] * len(each) + [0] * (longest - len(each)) for each in sequences], device=self._device)
        with torch.inference_mode():
            states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            vectors = torch.nn.functional.normalize(self._pool(states, mask), dim=-1).float().cpu().numpy()
        return [base64.b64encode(vector.astype("<f4").tobytes()).decode() for vector in vectors]

    def _pool(self, states: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
        if not self._by_mean:
            return states[:, 0]
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)

    def _pools_by_mean(self) -> bool:
        """Whether the mean of all tokens becomes the vector, else the first one does.

        Raises Unavailable for ways that are not known here.
        """
        parts = {str(part.get("type")).rpartition(".")[2] for part in orjson.loads((self.path / MODULES).read_bytes())}
        told = ModelFolder(self.path).read(POOLING)
        chosen = {name for name, on in told.items() if name.startswith("pooling_mode_") and on is True}
        if unknown := (parts - UNDERSTOOD) | (chosen - {MEAN, FIRST}):
            raise self._unusable(f"it has {', '.join(sorted(unknown))}")
        if len(chosen) > 1:
            raise self._unusable("it pools in several ways")
        return chosen != {FIRST}

    def _unusable(self, why: str) -> Unavailable:
        return Unavailable(
            "Model {model} cannot be loaded: {why}",
            "无法加载模型 {model}：{why}",
            details={"reason": "model_unusable", "model": self.row.id},
            model=self.row.id,
            why=why.splitlines()[0][:300] if why else "?",
        )


def _passes(order: list[int], sequences: list[Sequence], most_tokens: int) -> Iterator[list[int]]:
    """The numbers in *order*, from short to long, of those that go through the model together."""
    together: list[int] = []
    for number in order:
        if together and len(sequences[number]) * (len(together) + 1) > most_tokens:
            yield together
            together = []
        together.append(number)
    if together:
        yield together


def _too_long(number: int, tokens: int, most: int, model: str) -> Invalid:
    return Invalid(
        "input",
        'Text {number} has {tokens} tokens, model {model} reads {most}; split it, or send "truncate": true.',
        '第 {number} 段文本有 {tokens} 个词元，模型 {model} 最多读取 {most} 个，请拆分或发送 "truncate": true。',
        reason="context_length",
        number=number + 1,
        tokens=tokens,
        most=most,
        model=model,
    )
