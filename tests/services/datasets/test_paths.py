"""Paths in requests name things of the service and nothing else."""

from pathlib import Path

import pytest

from services.datasets import paths
from services.errors import Malformed


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("x", "x"),
        ("x.jsonl", "x.jsonl"),
        ("/data/processed/x", "data/processed/x"),
        ("./data/processed/x/", "data/processed/x"),
        ("data//processed/x", "data/processed/x"),
        ("/datasets/x.jsonl", "x.jsonl"),
        ("datasets/x", "x"),
        ("/models/x", "models/x"),
        ("./models/my_model", "models/my_model"),
        ("金融数据", "金融数据"),
    ],
)
def test_one_thing_has_many_paths(text: str, normal: str) -> None:
    assert paths.normal(text, field="dataset_path") == normal


@pytest.mark.parametrize(
    "text",
    ["", "/", ".", "./", "/etc/passwd", "/etc", "etc/passwd", "..", "../data/x", "data/../../x", "/data/../../etc",
     "data\\x", "C:\\x", "data/x\0", "data/\n", "/data", "data", "datasets/a/b", "data/.hidden/x", "~/x", "file:///etc/x",
     "x" * 600, "//etc/passwd", "/proc/self/environ", ".env", "data/processed/.part-1"],
)  # fmt: skip
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        paths.normal(text, field="dataset_path")
    assert caught.value.details == {"field": "dataset_path", "reason": "path_forbidden"}


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    root, secret = tmp_path / "data", tmp_path / "secret"
    for folder in (root / "inner", secret):
        folder.mkdir(parents=True)
    (root / "out").symlink_to(secret)
    (root / "within").symlink_to(root / "inner")
    assert paths.inside(root, "within/x", field="f") == root / "inner" / "x"
    with pytest.raises(Malformed):
        paths.inside(root, "out/x", field="f")


@pytest.mark.parametrize("name", ["a", "金融_processed", "v1.2-x", "two words"])
def test_plain_names_are_taken(name: str) -> None:
    assert paths.is_plain_name(name)


@pytest.mark.parametrize("name", ["", ".a", "a/b", "a\\b", "a..b", "a.", "a ", "-x", "a\0", "a\n", "x" * 101, "a:b"])
def test_other_names_are_not(name: str) -> None:
    assert not paths.is_plain_name(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [("finance.json", "finance.json"), ("C:\\a\\b c.csv", "b_c.csv"), ("../../etc/passwd", "passwd"), ("...", "data"),
     ("金融 数据.csv", "金融_数据.csv"), ("a" * 300, "a" * 80), ("<script>", "script")],
)  # fmt: skip
def test_a_sent_name_becomes_a_plain_one(text: str, name: str) -> None:
    assert paths.plain_name(text, otherwise="data") == name
