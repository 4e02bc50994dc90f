"""Configurations: a provider with its key, address and model, under a name that users give it."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr

# Control characters have no place in a name, and PostgreSQL takes no NUL at all.
PLAIN = r"^[^\x00-\x1f\x7f]*$"
PROVIDERS = "`dashscope` or `qwen`, `ark` or `doubao`, `openai`, `openai_like` (vLLM, Ollama, …), `anthropic`"


class ConfigurationRequest(BaseModel):
    """A new configuration. Without `is_active` it becomes the active one if its provider has none yet."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"name": "my qwen", "provider": "qwen", "api_key": "sk-…", "model": "qwen-image"}}
    )

    name: str = Field(min_length=1, max_length=100, pattern=PLAIN, description="Works as a provider: `name/model`")
    provider: str = Field(min_length=1, max_length=32, description=PROVIDERS)
    api_key: SecretStr | None = Field(None, max_length=1024, description="Stored encrypted, shown as `sk-…abcd`")
    model: str | None = Field(None, max_length=256, pattern=PLAIN)
    base_url: str | None = Field(None, max_length=2048, pattern=PLAIN, description="Empty: the provider's own")
    is_active: bool | None = None


class ConfigurationChange(BaseModel):
    """What to change of a configuration; what is left out stays. A key sent as it was shown stays, too."""

    model_config = ConfigDict(json_schema_extra={"example": {"is_active": True}})

    name: str | None = Field(None, min_length=1, max_length=100, pattern=PLAIN)
    provider: str | None = Field(None, min_length=1, max_length=32, description=PROVIDERS)
    api_key: SecretStr | None = Field(None, max_length=1024)
    model: str | None = Field(None, max_length=256, pattern=PLAIN)
    base_url: str | None = Field(None, max_length=2048, pattern=PLAIN)
    is_active: bool | None = None


class ConfigurationTest(BaseModel):
    """What to try: a stored configuration, or one that is not stored yet."""

    model_config = ConfigDict(json_schema_extra={"example": {"config_id": "config-0123456789abcdef"}})

    config_id: str | None = Field(None, max_length=64)
    provider: str | None = Field(None, max_length=32, description=PROVIDERS)
    api_key: SecretStr | None = Field(None, max_length=1024)
    model: str | None = Field(None, max_length=256, pattern=PLAIN)
    base_url: str | None = Field(None, max_length=2048, pattern=PLAIN)


class ConfigurationView(BaseModel):
    """A configuration as it is shown: of its key only the ends."""

    id: str = Field(examples=["config-0123456789abcdef"])
    name: str = Field(examples=["my qwen"])
    provider: str = Field(examples=["qwen"])
    api_key: str = Field(examples=["sk-…cdef"], description="Empty: none stored; `…`: a short one, or unreadable")
    model: str = Field(examples=["qwen-image"])
    base_url: str
    is_active: bool


class ConfigurationsView(BaseModel):
    """Every configuration of the caller, the oldest first; an admin sees everybody's."""

    configs: list[ConfigurationView]


class ConfigurationTestView(BaseModel):
    """How a cheap, real call went. `detail` says what the provider answered, without any key."""

    ok: bool
    latency_ms: int = Field(examples=[182])
    detail: str
