"""Volcengine Ark (Doubao): OpenAI's protocol with thinking that has to be switched off.

Source: Volcengine's documents 82379/1494384.
"""

from typing import Any

from services.contracts.chat import ChatRequest
from services.contracts.images import ImageModel
from services.contracts.models import CatalogRow, ChatFlags
from services.contracts.video import VideoModel
from services.providers.ark_films import ArkCamera
from services.providers.ark_images import ArkPainter
from services.providers.openai_like import OpenAILike


class Ark(OpenAILike):
    name = "ark"
    aliases = ("doubao",)
    key_setting = "doubao_api_key"
    url_setting = "doubao_api_url"
    model_prefixes = ("doubao-", "ep-")

    def images(self, model: str, row: CatalogRow | None) -> ImageModel:
        return ArkPainter(self, model)

    def video(self, model: str, row: CatalogRow | None) -> VideoModel:
        return ArkCamera(self, model)

    def chat_body(self, request: ChatRequest, model: str, flags: ChatFlags) -> dict[str, Any]:
        body = super().chat_body(request, model, flags)
        if flags.thinking == "optional":
            body["thinking"] = {"type": "disabled"}
        return body
