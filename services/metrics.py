"""What Prometheus reads at `/metrics`: counted in each process, added up over all workers.

Source for names and units: Prometheus, "Metric and label naming".
"""

from prometheus_client import REGISTRY as IN_PROCESS
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess, values

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

REQUESTS = Counter("polymath_http_requests", "Requests answered", ["method", "route", "status"])
LATENCY = Histogram("polymath_http_request_seconds", "Seconds until the answer began", ["route"], buckets=SECONDS)
CHAT_TOKENS = Counter("polymath_chat_tokens", "Tokens of chats", ["provider", "model", "kind"])
FIRST_TOKEN = Histogram(
    "polymath_chat_first_token_seconds", "Seconds to the first token", ["provider"], buckets=SECONDS
)
UPSTREAM_ERRORS = Counter("polymath_upstream_errors", "Errors of providers", ["provider", "kind"])
MODELS_LOADED = Gauge("polymath_models_loaded", "Models in memory now", multiprocess_mode="livesum")


def render() -> bytes:
    """The metrics as text, over all workers where the server set `PROMETHEUS_MULTIPROC_DIR`, else of this process."""
    if not getattr(values.ValueClass, "_multiprocess", False):
        return bytes(generate_latest(IN_PROCESS))
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    return bytes(generate_latest(registry))
