"""System 3: language models fine-tuned by adapters."""

from typing import Any

from flask import Response, g, request
from pydantic import BaseModel, Field

from blueprints.kit import trainings
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.presence import client_waits
from blueprints.kit.trainings import StartedView, StoppedView, TrainingPath, TrainingShown
from blueprints.kit.waiting import AcceptedView, answer
from services.contracts.generation import Prompt, Sampling
from services.contracts.jobs import JobView
from services.contracts.merging import MergeRequest, MergeResult, MergeView
from services.contracts.training_doors import LoraStart
from services.domains import finetuning, generation, training
from services.errors import Conflict

bp = make_blueprint("finetuning", url_prefix="/api/llm-finetuning", about="Fine-tuning of language models (system 3)")


class TryRequest(BaseModel):
    """What a fine-tuned model is to answer."""

    task_id: str = Field(min_length=1, max_length=64, examples=["550e8400-e29b-41d4-a716-446655440000"])
    prompt: Prompt = Field(examples=["什么是机器学习？"])
    max_tokens: int = Field(256, ge=1, le=131_072, description="Most tokens of the answer")


class TriedView(BaseModel):
    response: str = Field(examples=["机器学习是人工智能的一个子集..."])


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


@bp.post("/test", responses={200: TriedView})
@mark(limit="generation")
def try_out(body: TryRequest) -> dict[str, Any]:
    """Have a fine-tuned model answer a prompt."""
    state = training.glance(body.task_id, services=services(), identity=me())
    if state.model is None or "chat" not in state.model.abilities:
        raise _nothing_to_try(state.status, trained=state.model is not None)
    model = services().trained.find(state.model.model, owner=None)
    sampling = Sampling(model_path=model.id, max_length=body.max_tokens)
    with client_waits(request.environ):
        found = generation.generate(
            [body.prompt], sampling, services=services(), owner=model.owner, request_id=g.request_id, field="prompt"
        )
    return {"response": found.texts[0][0]}


@bp.post("/merge", responses={200: MergeView, 202: AcceptedView})
@mark(limit="default")
def merge(body: MergeRequest) -> Response:
    """Merge an adapter into its base as safetensors or GGUF, compare both, and list the result as a model."""
    order = finetuning.order_merge(body, services=services(), identity=me())

    def show_merged(made: MergeResult, job: JobView) -> dict[str, Any]:
        told = made.model_dump(include={"model", "openai_name", "parity"})
        return {"task_id": job.id, "status": job.status, "output_path": made.path, "format": order.format, **told}

    return answer("finetuning.merge", order, show=show_merged)


def _nothing_to_try(status: str, *, trained: bool) -> Conflict:
    if trained:
        return Conflict(
            "This training made no language model.", "该训练任务产生的不是语言模型。", details={"reason": "not_text"}
        )
    return Conflict(
        "The training has no model to try yet; its status is {status}.",
        "该训练任务尚无可测试的模型，当前状态：{status}。",
        details={"reason": status, "status": status},
        status=status,
    )
