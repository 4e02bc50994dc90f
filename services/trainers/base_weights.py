"""From a model's folder to one that transformers loads for training: safetensors as they are, GGUF made so once.

Judged before anything is loaded: no pickles, no pipeline of pictures; code beside weights is never run.
"""

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from services.datasets import gguf
from services.errors import Invalid, ServiceError, Unavailable
from services.files import PART, full_disk_told

DEQUANTIZED = ".dequantized"
CONFIG, ORIGIN = "config.json", "source.json"
CAUSAL = ("ForCausalLM", "LMHeadModel")
PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}


def judge(folder: Path) -> Path | None:
    """Raise Invalid unless *folder* holds a language model that may be loaded; its GGUF file where it is one."""
    if (folder / "model_index.json").is_file():
        raise unusable("it makes pictures and not text", "它是图像生成模型而非语言模型")
    if not (folder / CONFIG).is_file():
        if files := sorted(folder.glob("*.gguf")):
            return files[0]
        raise unusable("there is no language model in its folder", "其目录中没有语言模型")
    config = _config(folder)
    if not any(str(name).endswith(CAUSAL) for name in config.get("architectures") or []):
        raise unusable("it is no causal language model", "它不是因果语言模型")
    if not any(folder.glob("*.safetensors")):
        pickled = any(file.suffix in PICKLES for file in folder.iterdir())
        if pickled:
            raise unusable("its weights are pickled; save them as safetensors", "其权重为 pickle，请转为 safetensors")
        raise unusable("its weights are not there", "缺少权重文件")
    return None


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The weights in *folder* by name, rows before columns, read from headers alone. Raises what `judge` raises."""
    if file := judge(folder):
        return gguf.tensor_shapes(file)
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found |= _header(path)
    return found


def loadable(folder: Path, *, models_dir: Path, tell: Callable[[str], None] = lambda line: None) -> Path:
    """A folder from which transformers loads the language model that lies in *folder*.

    A GGUF file is dequantized at its first use into bf16 below MODELS_DIR, which takes as long as it is large;
    *tell* hears of it. Safe from many processes. Raises what `judge` raises, Unavailable for what no library
    here can dequantize.
    """
    file = judge(folder)
    if file is None:
        return folder
    place = models_dir / DEQUANTIZED / folder.name
    origin = {"file": file.name, "bytes": file.stat().st_size, "changed_ns": file.stat().st_mtime_ns}
    if _origin(place) == origin:
        return place
    tell(f"dequantizing {file.name}, which is done once")
    part = place.with_name(f"{PART}{secrets.token_hex(8)}")
    part.mkdir(parents=True)
    try:
        with full_disk_told():
            _dequantize(file, part)
            (part / ORIGIN).write_bytes(orjson.dumps(origin))
            _put(part, place, origin)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return place


def unusable(en: str, zh: str) -> Invalid:
    """The error for a base that cannot be trained because of *en*, or *zh* in Chinese."""
    return Invalid(
        "base_model",
        "This model cannot be trained: {why}. Name a causal language model in safetensors or GGUF.",
        "无法训练该模型：{why_zh}。请选择 safetensors 或 GGUF 格式的因果语言模型。",
        reason="base_unusable",
        why=en,
        why_zh=zh,
    )


def _config(folder: Path) -> dict[str, Any]:
    try:
        told = orjson.loads((folder / CONFIG).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise unusable("its configuration cannot be read", "无法读取其配置") from error
    return told if isinstance(told, dict) else {}


def _header(path: Path) -> dict[str, tuple[int, ...]]:
    """The tensors in a file of safetensors: eight bytes of length, then JSON."""
    try:
        with path.open("rb") as file:
            told = orjson.loads(file.read(int.from_bytes(file.read(8), "little")))
        return {name: tuple(facts["shape"]) for name, facts in told.items() if name != "__metadata__"}
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise unusable(f"{path.name} is broken; pull it again", f"{path.name} 已损坏，请重新下载") from error


def _origin(place: Path) -> Any:
    try:
        return orjson.loads((place / ORIGIN).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None


def _put(part: Path, place: Path, origin: dict[str, Any]) -> None:
    """Move *part* to *place*, unless another process was faster with the same file."""
    for _ in range(2):
        try:
            part.rename(place)
        except OSError:
            if _origin(place) == origin:
                return
            old = place.with_name(f"{PART}{secrets.token_hex(8)}")
            place.rename(old)
            shutil.rmtree(old, ignore_errors=True)
        else:
            return


def _dequantize(file: Path, folder: Path) -> None:
    import torch
    import transformers

    words = gguf.tokenizer(file)
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    auto: Any = transformers.AutoModelForCausalLM
    try:
        found = auto.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.bfloat16)
    except ServiceError:
        raise
    except Exception as error:
        raise Unavailable(
            "The GGUF file {name} cannot be dequantized here ({cause}); name the model's safetensors instead.",
            "无法在此反量化 GGUF 文件 {name}（{cause}），请改用该模型的 safetensors 版本。",
            details={"reason": "not_dequantized"},
            name=file.name,
            cause=str(error)[:200],
        ) from error
    # A model that remembers its quantization refuses to be saved; its weights may live in one that does not.
    config = found.config
    del config.quantization_config
    with torch.device("meta"):
        plain = auto.from_config(config)
    plain.load_state_dict(found.state_dict(), assign=True)
    plain.tie_weights()
    plain.save_pretrained(folder)
    _write_tokenizer(words, folder)


def _write_tokenizer(words: dict[str, Any], folder: Path) -> None:
    from tokenizers import decoders

    words["tokenizer"].decoder = decoders.ByteLevel()
    words["tokenizer"].save(str(folder / "tokenizer.json"))
    end = words["eos_token"]
    told = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": words["bos_token"] or None,
        "eos_token": end or None,
        "pad_token": end or None,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))
    if words["chat_template"]:
        (folder / "chat_template.jinja").write_text(words["chat_template"], encoding="utf-8")
