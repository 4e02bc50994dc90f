"""The only reader of the environment: one documented field a knob.

Names are those of the five documents that the service replaces; `.env.example` lists them all and a
test compares the two. Sources, the later winning: defaults, `.env`, the environment, arguments.
"""

import os
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED_SECRETS = {"your-secret-key-here", "your-secret-key", "secret", "changeme", "change-me", "dev"}


def _either(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Settings(BaseSettings):
    """Every knob of the service, by its environment variable's name in lower case.

    What each of them does stands below it; `flask settings example` reads it there, where pydantic would read
    the source of this file at every start.
    """

    model_config = SettingsConfigDict(
        env_file=ROOT / ".env",
        env_ignore_empty=True,
        extra="ignore",
        populate_by_name=True,
    )

    # The server
    host: str = "127.0.0.1"
    """Address that the web server listens on."""
    port: int = 8000
    """Port that the web server listens on."""
    web_concurrency: int = 2
    """Web worker processes."""
    engine_url: str = ""
    """Base URL (http://) of an engine host that runs elsewhere; empty starts one beside the web server."""
    debug: bool = False
    """More log lines; never tracebacks to clients."""
    log_level: str = "INFO"
    """Least level that is logged: DEBUG, INFO, WARNING or ERROR."""
    log_file: Path | None = None
    """A file that log lines are written to as well, as JSON."""
    allowed_origins: str = "*"
    """Origins for CORS and WebSockets, separated by commas; `*` allows all, without credentials."""
    trusted_proxies: str = ""
    """Addresses or CIDRs of proxies whose `X-Forwarded-For` counts, separated by commas."""
    default_language: Literal["zh", "en"] = "zh"
    """Language of messages when a request has no `Accept-Language`."""

    # Secrets and accounts
    secret_key: str = ""
    """Signs tokens and encrypts stored keys; empty makes one and keeps it in `instance/`."""
    auth: Literal["required", "open"] = "required"
    """`required`: every route needs a token. `open`: all but `/api/v1` and accounts is open."""
    admin_username: str = "admin"
    """Name of the admin that the first start makes."""
    admin_password: str = ""
    """Password of that admin; empty makes a random one and prints it once."""
    access_token_seconds: int = 3600
    """How long an access token is good."""
    refresh_token_days: int = 30
    """How long a refresh token is good."""
    outputs_auth: bool = False
    """Asks for a token under `/outputs` too; pages can then no longer show results by `<img>` and `<audio>`."""

    # Storage
    database_url: str = "sqlite:///polymath.db"
    """SQLAlchemy URL; a relative SQLite path lies in `instance/`, every postgres URL uses psycopg 3."""
    redis_url: str = ""
    """Redis for rate limits (and Celery); empty counts in each worker's memory."""
    instance_dir: Path = ROOT / "instance"
    """Folder for the database, secrets and sockets of this installation."""
    data_dir: Path = ROOT / "data"
    """Folder for uploads, results and data sets; may lie on shared storage."""
    models_dir: Path = ROOT / "models"
    """Folder for model weights; may lie on shared storage."""
    keep_days: int = Field(0, ge=0)
    """Days after which results, uploads and ended jobs are removed; 0 keeps them."""
    quota_mb: int = Field(0, ge=0)
    """How much one user's results and uploads may take, in MiB; 0 sets no bound."""

    # Limits
    rate_limit_training: str = "10/hour"
    """Training starts, by user."""
    rate_limit_inference: str = "60/minute"
    """Generation under `/api/v1`, by user."""
    rate_limit_default: str = "120/minute"
    """Routes that no other limit names, by user."""
    rate_limit_generation: str = "100/minute"
    """Generation under `/api` and `/v1`, by user."""
    rate_limit_status: str = "1000/minute"
    """Status reads, by user."""
    rate_limit_login: str = "5/minute"
    """Login attempts, by address and by name."""
    max_upload_mb: int = 100
    """Largest picture or sound, in MiB."""
    max_dataset_mb: int = 2048
    """Largest data set, in MiB."""
    max_json_mb: int = 20
    """Largest JSON body, in MiB."""
    max_sockets: int = 16
    """WebSockets that one user may have open at once, in each web worker."""
    max_image_pixels: int = 50_000_000
    """Largest picture, in pixels."""
    max_audio_seconds: float = 10_800
    """Longest sound that is transcribed, in seconds."""

    # Providers
    dashscope_api_key: str = Field("", validation_alias=_either("DASHSCOPE_API_KEY", "QWEN_API_KEY"))
    """Key of Alibaba's DashScope (Bailian); `QWEN_API_KEY` means the same."""
    dashscope_base_url: str = Field(
        "https://dashscope.aliyuncs.com/api/v1", validation_alias=_either("DASHSCOPE_BASE_URL", "QWEN_API_URL")
    )
    """DashScope's native base URL; `QWEN_API_URL` means the same."""
    doubao_api_key: str = ""
    """Key of Volcengine Ark (Doubao)."""
    doubao_api_url: str = "https://ark.cn-beijing.volces.com/api/v3"
    """Ark's base URL."""
    openai_api_key: str = ""
    """Key of OpenAI, or of any server that speaks its API."""
    openai_base_url: str = "https://api.openai.com/v1"
    """Base URL for that key."""
    anthropic_api_key: str = ""
    """Key of Anthropic."""
    anthropic_base_url: str = "https://api.anthropic.com"
    """Anthropic's base URL, without `/v1`."""
    default_chat_model: str = ""
    """Model for a chat that names none; empty takes the newest installed, then the first provider with a key."""
    default_models: str = ""
    """The same for other abilities, such as `text-to-image=demo, transcription=whisper-small`."""

    # The annotator
    default_api_endpoint: str = ""
    """Full URL that describes pictures where a request names none; nothing is appended to it."""
    default_api_key: str = ""
    """Key for that address; it is sent nowhere else."""
    default_model: str = ""
    """Vision model where a request names none; empty takes the one that the provider's document names."""
    demo_mode: bool = False
    """Describes pictures from their own pixels, offline; each row is marked as a demonstration."""

    # Upstream calls
    allow_http_upstreams: bool = False
    """Lets users name `http://` addresses in requests."""
    allowed_upstreams: str = ""
    """Private hosts, `host:port` or CIDRs that users may name in requests, separated by commas."""
    upstream_connect_seconds: float = 5
    """Longest wait for a connection to a provider."""
    upstream_first_byte_seconds: float = 120
    """Longest wait for a provider's first byte."""
    upstream_idle_seconds: float = 120
    """Longest silence in the middle of a provider's stream."""
    upstream_answer_seconds: float = 300
    """Longest wait for a provider's whole answer that is not streamed."""
    upstream_retries: int = 2
    """Tries after the first, before the first byte reached the client."""

    # Local models
    model_cache_dir: Path = Path.home() / ".cache" / "polymath"
    """Folder outside of the installation that keeps downloaded archives."""
    hub_url: str = "https://huggingface.co"
    """Model hub, or a mirror of it."""
    hub_token: str = ""
    """Token for models of the hub that need one."""
    model_idle_seconds: float = 900
    """A local model is unloaded after this long without use; -1 keeps it, 0 unloads at once."""
    model_memory_mb: int = 0
    """Memory that loaded models may take together, in MiB; 0 sets no bound."""
    chat_slots: int = 16
    """Chats that one loaded local model answers at the same time."""
    chat_context_tokens: int = 2048
    """Context of each of those chats, in tokens; a model's own limit is never exceeded."""
    cpu_threads: int = 0
    """Threads of a local engine; 0 takes every core."""

    face_threshold: float = Field(0.5, ge=0, le=1)
    """Least confidence at which a face is somebody's; 0.5 is a distance of 0.6 between dlib's embeddings."""
    face_keep_photos: bool = False
    """Keeps the photos that faces are registered from, in `data/uploads`; else only what was measured of them."""
    audio_child_seconds: float = 300
    """A longer sound is transcribed in a process of its own, which takes seconds to start and ends at once."""

    default_base_model: str = "smollm2-135m-instruct"
    """Model that a training under `/api/v1` begins with when it names none."""

    # Jobs
    job_runner: Literal["thread", "celery", "inline"] = "thread"
    """Who runs jobs: threads of the engine host, Celery workers (needs `REDIS_URL`), or the request itself."""
    lane_gpu: int = 1
    """Jobs on local models and trainings that run at once on one host."""
    lane_cpu: int = 2
    """Jobs that mostly compute without a model, at once on one host."""
    lane_io: int = 16
    """Jobs that mostly wait for a provider, at once on one host."""
    sync_wait_seconds: float = 300
    """How long a route whose document shows a finished answer waits for its job."""

    @field_validator("secret_key")
    @classmethod
    def refuse_published(cls, value: str) -> str:
        if value.strip().lower() in PUBLISHED_SECRETS:
            raise ValueError("SECRET_KEY is a published default; remove it to have one made, or set a random one")
        return value

    @field_validator("engine_url")
    @classmethod
    def refuse_tls(cls, value: str) -> str:
        if value and not value.startswith("http://"):
            raise ValueError("ENGINE_URL begins with http://; between machines, a tunnel protects the connection")
        return value

    @field_validator(
        "engine_url", "hub_url", "dashscope_base_url", "doubao_api_url", "openai_base_url", "anthropic_base_url"
    )
    @classmethod
    def without_last_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @cached_property
    def origins(self) -> list[str]:
        return _parts(self.allowed_origins)

    @cached_property
    def proxies(self) -> list[str]:
        return _parts(self.trusted_proxies)

    @cached_property
    def upstreams(self) -> list[str]:
        return _parts(self.allowed_upstreams)

    @property
    def models_by_ability(self) -> dict[str, str]:
        """The model of each ability for which the operator chose one."""
        chosen = {"chat": self.default_chat_model}
        for part in _parts(self.default_models):
            ability, _, model = part.partition("=")
            chosen[ability.strip()] = model.strip()
        return {ability: model for ability, model in chosen.items() if model}

    @cached_property
    def sqlalchemy_url(self) -> str:
        """The database URL as SQLAlchemy wants it: absolute SQLite paths, psycopg 3 for every postgres."""
        scheme, _, rest = self.database_url.partition("://")
        if scheme.split("+")[0] in {"postgres", "postgresql"}:
            return f"postgresql+psycopg://{rest}"
        if scheme == "sqlite" and rest.startswith("/") and not rest.startswith("//") and rest not in {"/", "/:memory:"}:
            return f"sqlite:///{self.instance_dir.resolve() / rest[1:]}"
        return self.database_url


def environment_with(**changes: str) -> dict[str, str]:
    """This process's environment with *changes*, for a child process."""
    return {**os.environ, **changes}


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
