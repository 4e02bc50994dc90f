"""A pipeline's folder, judged before anything in it is loaded: known classes and safetensors, no code, no pickles."""

from dataclasses import dataclass
from pathlib import Path

import orjson

from services.errors import Invalid

INDEX = "model_index.json"
# Reading one of these can run what is written in it.
PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
SAFE = ".safetensors"
HALF = "fp16"


@dataclass(frozen=True, slots=True)
class PipelineIndex:
    """What `model_index.json` says: the pipeline's class, and each part's library and class."""

    class_name: str
    parts: dict[str, tuple[str, str]]
    variant: str | None = None
    """`fp16` where a part's weights are there in halves alone."""


def read_index(folder: Path) -> PipelineIndex:
    """The index of the pipeline in *folder*. Raises Invalid for one that holds code or pickles, or no pipeline."""
    _refuse_code(folder)
    try:
        told = orjson.loads((folder / INDEX).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise unusable(f"it has no readable {INDEX}", "缺少可读取的 " + INDEX) from error
    class_name = told.get("_class_name") if isinstance(told, dict) else None
    if not isinstance(class_name, str):
        raise unusable("its pipeline brings code of its own", "其 pipeline 带有自定义代码")
    parts = {name: _part(name, value) for name, value in told.items() if isinstance(value, list)}
    here = {name: part for name, part in parts.items() if part}
    for name in here:
        _refuse_pickles(folder / name)
    return PipelineIndex(class_name, here, _variant(folder, here))


def unusable(en: str, zh: str) -> Invalid:
    """The error for a model that cannot be used because of *en*, or *zh* in Chinese."""
    return Invalid(
        "model_id",
        "This model cannot be used: {why}. Only pipelines of diffusers itself, in safetensors, are loaded.",
        "无法使用该模型：{why_zh}。仅支持 diffusers 自带且权重为 safetensors 的 pipeline。",
        reason="unsafe_model",
        why=en,
        why_zh=zh,
    )


def _part(name: str, value: list[object]) -> tuple[str, str] | None:
    """The library and class of a part; None of one that was left out."""
    if value == [None, None]:
        return None
    match value:
        case [str(library), str(class_name)] if all(word.isidentifier() for word in (name, library, class_name)):
            return library, class_name
    # A list that names no class is a setting, as of numbers; diffusers loads nothing for it.
    if not any(isinstance(item, str) for item in value):
        return None
    raise unusable(f"its part {name[:60]} is of no known class", f"组件 {name[:60]} 的类型未知")


def _refuse_code(folder: Path) -> None:
    found = next(folder.rglob("*.py"), None)
    if found:
        raise unusable(f"it brings code ({found.name})", f"包含代码文件（{found.name}）")


def _refuse_pickles(part: Path) -> None:
    """A pickle beside safetensors is left unread; one instead of them is refused."""
    files = list(part.iterdir()) if part.is_dir() else []
    pickles = [file.name for file in files if file.suffix in PICKLES]
    if pickles and not any(file.suffix == SAFE for file in files):
        raise unusable(
            f"{part.name} has pickled weights alone ({pickles[0]})", f"{part.name} 仅有 pickle 权重（{pickles[0]}）"
        )


def _variant(folder: Path, parts: dict[str, tuple[str, str]]) -> str | None:
    weights = [[file.name for file in (folder / name).glob(f"*{SAFE}")] for name in parts]
    halves_alone = any(names and all(f".{HALF}." in name for name in names) for names in weights)
    return HALF if halves_alone else None
