"""OpenAI's pictures, and those of servers that speak its protocol: generations as JSON, edits as a form.

Source: OpenAI's specification of August 2026. The GPT image models answer base64 and refuse `response_format`.
"""

from typing import TYPE_CHECKING, Any

from urllib3 import encode_multipart_formdata
from urllib3.fields import RequestField

from services.contracts.images import ImageModel, ImageRequest, PaintedPictures, Picture, SourcePicture
from services.errors import ServiceError, UpstreamFailed
from services.providers.base import Provider
from services.providers.failures import no_answer
from services.providers.media_results import decode_picture, fetch_picture
from services.providers.sizes import Size, asked_size, nearest

if TYPE_CHECKING:
    from services.compute.progress import Job

GENERATIONS = "/images/generations"
EDITS = "/images/edits"
# By how a name begins; a model that is not here takes any size.
SIZES: dict[str, list[Size]] = {
    "gpt-image": [(1024, 1024), (1536, 1024), (1024, 1536)],
    "dall-e-3": [(1024, 1024), (1792, 1024), (1024, 1792)],
    "dall-e-2": [(256, 256), (512, 512), (1024, 1024)],
}
ONE_AT_A_TIME = "dall-e-3"
NAMES = {"image/png": "image.png", "image/jpeg": "image.jpg", "image/webp": "image.webp"}
NOT_TAKEN = {
    "num_inference_steps": None,
    "guidance_scale": None,
    "negative_prompt": None,
    "strength": None,
    "seed": None,
}


class OpenAIPainter(ImageModel):
    """One picture model behind `/images`."""

    def __init__(self, provider: Provider, model: str) -> None:
        self._provider, self._model = provider.about("prompt"), model

    def paint(self, request: ImageRequest, *, source: SourcePicture | None, job: "Job") -> PaintedPictures:
        fields = self._fields(request)
        if self._model.startswith(ONE_AT_A_TIME):
            rounds, fields["n"] = request.n, 1
        else:
            rounds = 1
        painted: list[Picture] = []
        for number in range(rounds):
            job.progress(number / rounds, picture=number + 1)
            try:
                answer = self._edit(fields, source) if source else self._provider.post(GENERATIONS, fields)
                painted += self._pictures(answer)
            except UpstreamFailed:
                if not painted:  # What was made is paid for, and kept.
                    raise
                break
        return PaintedPictures(painted, dict(NOT_TAKEN), revision=self._model)

    def _fields(self, request: ImageRequest) -> dict[str, Any]:
        fields: dict[str, Any] = {"model": self._model, "prompt": request.prompt, "n": request.n}
        if not self._model.startswith("gpt-image"):
            fields["response_format"] = "b64_json"
        if wanted := asked_size(request.width, request.height):
            sizes = next((sizes for name, sizes in SIZES.items() if self._model.startswith(name)), [wanted])
            fields["size"] = "x".join(str(side) for side in nearest(wanted, sizes))
        return fields

    def _edit(self, fields: dict[str, Any], source: SourcePicture) -> dict[str, Any]:
        parts = [RequestField.from_tuples(name, str(value)) for name, value in fields.items()]
        parts.append(RequestField.from_tuples("image", (NAMES[source.media_type], source.data, source.media_type)))
        body, content_type = encode_multipart_formdata(parts)
        return self._provider.ask("POST", EDITS, body, **{"Content-Type": content_type})

    def _pictures(self, answer: dict[str, Any]) -> list[Picture]:
        """The pictures that could be had. Raises what the first failure was where there are none."""
        made: list[Picture] = []
        failed: ServiceError = no_answer()
        for result in answer.get("data") or []:
            try:
                made.append(Picture(self._bytes(result), revised_prompt=result.get("revised_prompt")))
            except UpstreamFailed as error:
                failed = error
        if not made:
            raise failed
        return made

    def _bytes(self, result: dict[str, Any]) -> bytes:
        if result.get("b64_json"):
            return decode_picture(result["b64_json"])
        if not result.get("url"):
            raise no_answer()
        return fetch_picture(result["url"], self._provider.outbound)
