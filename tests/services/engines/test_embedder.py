"""Embeddings of the starter model: near where meanings are, the same alone and in company."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.assemble import Services, assemble
from services.contracts.embeddings import EmbeddingRequest, EmbeddingTask, to_floats
from services.contracts.models import PullRequest
from services.domains import embeddings, models
from services.engines.embedder import Embedder, _passes
from services.engines.folders import ModelFolder
from services.errors import Invalid, Unavailable
from services.settings import Settings

MINILM = "all-minilm-l6-v2"


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedder]:
    """The starter model, pulled as a user pulls it and loaded."""
    settings = Settings(
        _env_file=None,
        secret_key="x" * 32,
        instance_dir=tmp_path_factory.mktemp("instance"),
        models_dir=tmp_path_factory.mktemp("models"),
        cpu_threads=1,
    )
    assembled = assemble(settings)
    models.pull(PullRequest(model=MINILM), services=assembled)
    engine = Embedder(assembled.catalog.find(MINILM), settings.models_dir / MINILM, settings)
    engine.load()
    yield engine
    engine.unload()
    assembled.close()


def embed(engine: Embedder, *texts: str, **more: object) -> list[list[float]]:
    request = EmbeddingRequest.model_validate({"input": list(texts), **more})
    return [to_floats(vector) for vector in engine.embed(request, owner="lin").vectors]


def likeness(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_meanings_lie_near_each_other(minilm: Embedder) -> None:
    cat, kitten, tax = embed(minilm, "A cat sleeps.", "A kitten is asleep.", "Taxes are due in April.")
    assert len(cat) == 384
    assert likeness(cat, cat) == pytest.approx(1, abs=1e-5)
    assert likeness(cat, kitten) > 0.6
    assert likeness(cat, tax) < 0.3


def test_the_vectors_are_those_of_the_library(minilm: Embedder) -> None:
    """By transformers alone: the mean over what the mask keeps, of unit length."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(str(minilm.path))
    model = transformers.AutoModel.from_pretrained(str(minilm.path)).eval()
    inputs = tokenizer(["The quick brown fox."], return_tensors="pt")
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(model(**inputs).last_hidden_state.mean(1))[0].tolist()
    assert embed(minilm, "The quick brown fox.")[0] == pytest.approx(expected, abs=1e-5)


def test_company_changes_nothing(minilm: Embedder) -> None:
    texts = ["short", "a text that is somewhat longer than the others are", "猫", *("word " * n for n in range(1, 90))]
    together = embed(minilm, *texts)
    alone = [embed(minilm, text)[0] for text in texts[:5]]
    for one, other in zip(alone, together, strict=False):
        assert one == pytest.approx(other, abs=1e-5)


def test_many_callers_at_once_get_their_own(minilm: Embedder) -> None:
    texts = [f"sentence number {number}" for number in range(12)]
    expected, found = embed(minilm, *texts), {}

    def ask(number: int) -> None:
        found[number] = embed(minilm, texts[number])[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, vector in found.items():
        assert vector == pytest.approx(expected[number], abs=1e-5)
    assert len(found) == 12


def test_tokens_are_those_of_its_tokenizer(minilm: Embedder) -> None:
    ids = minilm._tokenizer.encode("a cat", add_special_tokens=False).ids
    by_tokens = EmbeddingRequest.model_validate({"input": ids})
    assert to_floats(minilm.embed(by_tokens, owner="lin").vectors[0]) == pytest.approx(embed(minilm, "a cat")[0])


def test_tokens_of_another_tokenizer_are_refused(minilm: Embedder) -> None:
    with pytest.raises(Invalid, match="Token 100256") as refused:
        minilm.embed(EmbeddingRequest.model_validate({"input": [[1, 100_256]]}), owner="lin")
    assert refused.value.field == "input"


def test_a_text_that_is_too_long_is_refused_or_cut(minilm: Embedder) -> None:
    long = "word " * 400
    with pytest.raises(Invalid, match="Text 2 has 402 tokens") as refused:
        embed(minilm, "short", long)
    assert refused.value.details["reason"] == "context_length"
    assert embed(minilm, long, truncate=True)[0] == pytest.approx(embed(minilm, "word " * 254)[0], abs=1e-5)


@pytest.mark.parametrize("text", [" ", "\n", "\u200b", "a" * 5000, "\ud7ff", "🙂" * 50])
def test_odd_texts_have_vectors(minilm: Embedder, text: str) -> None:
    assert likeness(*embed(minilm, text, text, truncate=True)) == pytest.approx(1, abs=1e-4)


def test_dimensions_are_its_own(minilm: Embedder) -> None:
    assert len(embed(minilm, "x", dimensions=384)[0]) == 384
    with pytest.raises(Invalid, match="384"):
        embed(minilm, "x", dimensions=128)


def test_tokens_are_counted(minilm: Embedder) -> None:
    request = EmbeddingRequest.model_validate({"input": ["a cat", "a"]})
    assert minilm.embed(request, owner="lin").prompt_tokens == 4 + 3


def test_a_folder_of_sentence_transformers_is_found(minilm: Embedder) -> None:
    rows = list(Embedder.rows_of(ModelFolder(minilm.path)))
    assert [row.abilities for row in rows] == [["embeddings"]]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("modules.json", '[{"type": "sentence_transformers.models.Transformer"}, {"type": "own.module.Dense"}]'),
        ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}'),
        ("1_Pooling/config.json", '{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true}'),
    ],
)
def test_a_way_of_pooling_that_is_not_known_is_told(minilm: Embedder, tmp_path: Path, name: str, text: str) -> None:
    for file in minilm.path.rglob("*"):
        if file.is_file():
            place = tmp_path / file.relative_to(minilm.path)
            place.parent.mkdir(exist_ok=True)
            place.symlink_to(file)
    (tmp_path / name).unlink()
    (tmp_path / name).write_text(text)
    with pytest.raises(Unavailable):
        Embedder(minilm.row, tmp_path, minilm.settings).load()


def test_passes_are_bounded_by_their_padded_tokens() -> None:
    sequences = [[0] * length for length in (1, 2, 3, 10, 10)]
    assert list(_passes([0, 1, 2, 3, 4], sequences, 10)) == [[0, 1, 2], [3], [4]]


def test_the_domain_calls_it_and_counts(services: Services, minilm: Embedder) -> None:
    (services.settings.models_dir).symlink_to(minilm.settings.models_dir)
    found = embeddings.embed(EmbeddingRequest(input="a cat", model=MINILM), services=services, owner="lin")
    assert (found.model, found.prompt_tokens, len(to_floats(found.vectors[0]))) == (MINILM, 4, 384)
    assert EmbeddingTask(input="x", owner="lin").inputs == ["x"]
