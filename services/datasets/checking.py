"""Whether processing can be done as it is asked for, told before anything is begun."""

from typing import TYPE_CHECKING

from services.contracts.datasets import ProcessRequest
from services.datasets import paths, templates
from services.datasets.store import DatasetStore
from services.errors import Invalid, NotFound
from services.tables.accounts import UserTable
from services.tables.datasets import DatasetTable

if TYPE_CHECKING:
    from services.assemble import Services

RATIO_SLACK = 1e-6


def check(request: ProcessRequest, *, services: "Services", owner: str) -> DatasetTable:
    """The data set to process. Raises NotFound, Malformed, Unavailable, and Invalid with the wrong field."""
    if abs(sum(request.ratios) - 1) > RATIO_SLACK:
        raise Invalid(
            "train_ratio",
            "The three ratios add up to {sum:g} and not to 1.",
            "三个比例之和为 {sum:g}，必须等于 1。",
            reason="ratios",
            sum=round(sum(request.ratios), 6),
        )
    if not paths.is_plain_name(request.output_name):
        raise Invalid(
            "output_name",
            "The name may have letters, digits, '-', '_', '.' and spaces, and begins with a letter or digit.",
            "名称只能包含字母、数字、“-”、“_”、“.”和空格，并以字母或数字开头。",
            reason="name_invalid",
        )
    if request.max_length is not None and (request.min_length or 0) > request.max_length:
        raise Invalid("min_length", "min_length is over max_length.", "min_length 大于 max_length。")
    row = _source(request.dataset_id, services, owner)
    if row.kind == "processed":
        raise Invalid(
            "dataset_id",
            "This data set is processed already; process the one that it was made of.",
            "该数据集已经处理过，请处理其来源数据集。",
            reason="processed",
        )
    columns = [column["name"] for column in row.columns]
    if request.template is not None:
        templates.check(request.template, columns)
    if request.group_by is not None and request.group_by not in columns:
        raise Invalid("group_by", "The data set has no such column.", "数据集中没有该列。", reason="missing_column")
    model_folder(request, services)
    return row


def model_folder(request: ProcessRequest, services: "Services") -> str | None:
    """Where the model lies whose tokenizer is wanted. Raises NotFound, Invalid or Unavailable."""
    if not request.model:
        return None
    row = services.catalog.known(request.model) or services.catalog.find(request.model)
    if not row.local:
        raise Invalid("model", "Only a local model has a tokenizer here.", "只有本地模型才有可用的分词器。")
    return str(services.catalog.path(row))


def _source(reference: str, services: "Services", owner: str) -> DatasetTable:
    """The data set that *owner* means: their own, or, for an admin, anybody's. Raises NotFound and Malformed."""
    store = DatasetStore(services.database, services.settings)
    try:
        return store.find(reference, owner=owner)
    except NotFound:
        with services.database.read() as session:
            user = session.get(UserTable, owner)
        if user is None or user.role != "admin":
            raise
        return store.find(reference, owner=None)
