"""What a training is made of: the base model and the data set that a request names, found for its owner."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from services import routes
from services.catalog import LOCAL, not_installed
from services.contracts.models import CatalogRow
from services.contracts.training import TrainingRequest
from services.datasets import paths
from services.datasets.store import DatasetStore, Located
from services.engines.folders import ModelFolder
from services.errors import Invalid, NotFound
from services.providers import find_provider
from services.trained_models import USERS, as_catalog_row, output_place

if TYPE_CHECKING:
    from services.assemble import Services

HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
SAFE = {".safetensors", ".gguf"}
PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
PICTURES = "image-classification"
FIELD = "base_model"


def resolve(request: TrainingRequest, *, services: "Services", owner: str | None) -> TrainingRequest:
    """*request* with the ids of its base and its data set, and the version of the data set that it begins with.

    *owner* None acts for an admin. Raises NotFound, Unavailable for a base that is not installed, Malformed for
    a path that is none of the service's, and Invalid for a base that cannot be trained.
    """
    base = find_base(request.base_model, request.trainer, services=services, owner=owner)
    output_place(request.output_dir)
    found = find_dataset(request, services=services, owner=owner)
    return request.model_copy(
        update={
            "base_model": base.id,
            "dataset_path": found.id or found.path,
            "dataset_version": found.version if found.card else None,
        }
    )


def find_dataset(request: TrainingRequest, *, services: "Services", owner: str | None) -> Located:
    """The data set that *request* names. Raises NotFound, also for another's, and Malformed."""
    store = DatasetStore(services.database, services.settings)
    found = store.locate(request.dataset_path, owner=owner, version=request.dataset_version)
    if request.dataset_version is not None and not found.card:
        raise Invalid(
            "dataset_version",
            "Only a processed data set has versions.",
            "只有处理过的数据集才有版本。",
            reason="no_versions",
        )
    return found


def reopen_dataset(request: TrainingRequest, *, services: "Services", owner: str) -> Located:
    """The data set of a *request* that was resolved: its id may be anybody's, a path is the operator's.

    With `validation_path` that data set's rows are its part for validation. Raises NotFound when one is gone, and
    Invalid when the two are not alike.
    """
    found = _reopen(request, services=services, owner=owner)
    if request.validation_path is None:
        return found
    store = DatasetStore(services.database, services.settings)
    other = store.located(store.find(request.validation_path, owner=None, field="validation_path"))
    alike = ("file_kind", "encoding", "format")
    if differs := next((name for name in alike if getattr(found, name) != getattr(other, name)), None):
        raise Invalid(
            "validation_path",
            "The validation data differ from the training data in their {what}: {one} and {other}.",
            "验证数据与训练数据的 {what} 不一致：{one} 与 {other}。",
            reason="not_alike",
            what=differs,
            one=getattr(found, differs),
            other=getattr(other, differs),
        )
    return replace(found, parts={"train": found.parts["train"], "validation": other.parts["train"]})


def _reopen(request: TrainingRequest, *, services: "Services", owner: str) -> Located:
    store = DatasetStore(services.database, services.settings)
    if not request.dataset_path.startswith("data/"):
        row = store.find(request.dataset_path, owner=None, field="dataset_path")
        if row.id == request.dataset_path:
            return store.located(row, request.dataset_version)
    return store.locate(request.dataset_path, owner=owner, version=request.dataset_version)


def find_base(name: str, trainer: str, *, services: "Services", owner: str | None) -> CatalogRow:
    """The installed model that *name* means and that *trainer* can begin with.

    Raises NotFound, Unavailable with the command that installs it, Malformed for a path that is none of the
    service's, and Invalid for a model of another kind, or whose weights are not safe to read.
    """
    row = _look_up(name, services, owner) or _pulled_later(name)
    if row is None:
        raise _not_here(name)
    if not row.local or "training" not in row.abilities:
        raise _not_trainable(row)
    if (PICTURES in row.abilities) != (trainer == "image_classifier"):
        raise _of_another_kind(row, trainer)
    refuse_unsafe(services.catalog.path(row), row.id)
    return row


def reopen_base(base_id: str, *, services: "Services") -> CatalogRow:
    """The row of a base that was found already. Raises NotFound when it is gone."""
    return routes.local_row(base_id, services)


def refuse_unsafe(folder: Path, name: str) -> None:
    """Raise Invalid where the only weights in *folder* are of a form that can run code when it is read."""
    suffixes = {file.suffix for file in folder.rglob("*") if file.is_file()} if folder.is_dir() else {folder.suffix}
    if suffixes & PICKLES and not suffixes & SAFE:
        raise Invalid(
            FIELD,
            "The weights of {name} are pickles, which can run code; save them as safetensors.",
            "{name} 的权重是 pickle 格式，可能执行任意代码，请转换为 safetensors。",
            reason="unsafe_weights",
            name=name,
        )


def refuse_remote_code(folder: Path, name: str) -> None:
    """Raise Invalid for a model that only code of its own can open. Imports transformers where it has such code."""
    config = ModelFolder(folder).config
    if not config.get("auto_map"):
        return
    from transformers import CONFIG_MAPPING

    if config.get("model_type") not in CONFIG_MAPPING:
        raise Invalid(
            FIELD,
            "{name} wants to run code that comes with its weights, which is never done here; take a model that "
            "transformers knows.",
            "{name} 需要执行随权重附带的代码，本服务不允许；请使用 transformers 自带支持的模型。",
            reason="remote_code",
            name=name,
        )


def _look_up(name: str, services: "Services", owner: str | None) -> CatalogRow | None:
    name = name.removeprefix(f"{LOCAL}/")
    try:
        return services.catalog.find(name)
    except NotFound:
        pass
    if "/" in name and HUB_ID.fullmatch(name) and not name.startswith(("models/", "data/", "datasets/")):
        return None
    if trained := services.trained.look_up(name, owner=owner, field=FIELD):
        return as_catalog_row(trained)
    return _in_folder(name, services)


def _in_folder(name: str, services: "Services") -> CatalogRow | None:
    """The model in the folder that *name* means, of those that the operator put there."""
    told = paths.normal(name, field=FIELD)
    label = told.removeprefix("models/")
    if "/" in told and not told.startswith("models/"):
        raise paths.forbidden(name, FIELD)
    if row := services.catalog.at_path(f"models/{label}"):
        return row
    folder = paths.inside(services.settings.models_dir, label, field=FIELD)
    if "/" not in label and label != USERS and folder.is_dir():
        refuse_unsafe(folder, label)
        raise _unknown_kind(label)
    return None


def _pulled_later(name: str) -> CatalogRow | None:
    """None for a name that nobody has. Raises Unavailable for a hub's repository that could be pulled."""
    before, slash, _ = name.partition("/")
    if not slash or not HUB_ID.fullmatch(name) or before in paths.ROOTS:
        return None
    if before == LOCAL or find_provider(before):
        return None
    raise not_installed(name, field=FIELD)


def _not_here(name: str) -> NotFound:
    return NotFound(
        "There is no base model {name} here; flask models list shows those there are.",
        "基础模型 {name} 不存在，可运行 flask models list 查看。",
        details={"field": FIELD, "reason": "model_not_found"},
        name=repr(name[:80]),
    )


def _not_trainable(row: CatalogRow) -> Invalid:
    return Invalid(
        FIELD,
        "{name} cannot be trained here; take a local language model or image classifier.",
        "{name} 不能在此训练，请选择本地语言模型或图像分类模型。",
        reason="not_trainable",
        name=row.id,
    )


def _of_another_kind(row: CatalogRow, trainer: str) -> Invalid:
    pictures = trainer == "image_classifier"
    wanted_en = "an image classifier" if pictures else "a language model"
    wanted_zh = "图像分类模型" if pictures else "语言模型"
    return Invalid(
        FIELD,
        "{name} is no base for this training, which needs {wanted_en}.",
        "{name} 不能作为此训练的基础模型，此训练需要{wanted_zh}。",
        reason="not_trainable",
        name=row.id,
        wanted_en=wanted_en,
        wanted_zh=wanted_zh,
    )


def _unknown_kind(name: str) -> Invalid:
    return Invalid(
        FIELD,
        "The folder {name} holds no model that can be trained here.",
        "目录 {name} 中没有可在此训练的模型。",
        reason="not_trainable",
        name=name,
    )
