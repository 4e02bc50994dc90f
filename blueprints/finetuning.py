"""System 3: language models fine-tuned by adapters."""

from typing import Any

from flask import Response

from blueprints.kit import trainings
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.trainings import StartedView, StoppedView, TrainingPath, TrainingShown
from blueprints.kit.waiting import AcceptedView, answer
from services.contracts.jobs import JobView
from services.contracts.merging import MergeRequest, MergeResult, MergeView
from services.contracts.training_doors import LoraStart
from services.domains import finetuning

bp = make_blueprint("finetuning", url_prefix="/api/llm-finetuning", about="Fine-tuning of language models (system 3)")


@bp.post("/lora/start", responses={200: StartedView})
@mark(limit="training")
def start_lora(body: LoraStart) -> Response:
    """Start to fine-tune a language model by a LoRA adapter."""
    return trainings.start(body.request())


@bp.post("/qlora/start", responses={200: StartedView})
@mark(limit="training")
def start_qlora(body: LoraStart) -> Response:
    """Start to fine-tune a language model by a LoRA adapter, its base held in four bits."""
    return trainings.start(body.request("int4"))


@bp.get("/status/<string:task_id>", responses={200: TrainingShown})
@mark(limit="status")
def show(path: TrainingPath) -> dict[str, Any]:
    """Tell how a fine-tuning stands, with the curve of its loss; whichever door it was started at."""
    return trainings.show(path.task_id)


@bp.post("/stop/<string:task_id>", responses={200: StoppedView})
@mark(limit="default")
def stop(path: TrainingPath) -> dict[str, Any]:
    """Stop a fine-tuning; its newest checkpoint stays."""
    return trainings.stop(path.task_id)


@bp.post("/merge", responses={200: MergeView, 202: AcceptedView})
@mark(limit="default")
def merge(body: MergeRequest) -> Response:
    """Merge an adapter into its base as safetensors or GGUF, compare both, and list the result as a model."""
    order = finetuning.order_merge(body, services=services(), identity=me())

    def show_merged(made: MergeResult, job: JobView) -> dict[str, Any]:
        told = made.model_dump(include={"model", "openai_name", "parity"})
        return {"task_id": job.id, "status": job.status, "output_path": made.path, "format": order.format, **told}

    return answer("finetuning.merge", order, show=show_merged)
