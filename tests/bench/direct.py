"""xllamacpp called directly, with the service's settings: what `bench-local` compares the service with.

    python -m tests.bench.direct MODEL_FILE

Reads plans such as `{"clients": 16, "pieces": 96, "question": "…", "temperature": 0}` from standard input,
one a line, and answers each with a line of figures.
"""

import sys
import threading
import time
from typing import Any

import orjson
import xllamacpp

from services.engines.llama_cpp import PROMPT_STEP_TOKENS
from services.settings import Settings
from tests.bench.load import Seen, summary


def load_model(path: str) -> Any:
    """llama.cpp's server with the slots, the context and the steps that the service gives it."""
    settings, params = Settings(), xllamacpp.CommonParams()
    params.model.path = path
    params.n_parallel = settings.chat_slots
    params.n_ctx = settings.chat_slots * settings.chat_context_tokens
    params.n_batch = PROMPT_STEP_TOKENS
    params.warmup = True
    params.use_jinja = True
    params.ui = False
    params.verbosity = 1
    if settings.cpu_threads:
        params.cpuparams.n_threads = settings.cpu_threads
    return xllamacpp.Server(params)


def chat(server: Any, plan: dict[str, Any], seen: Seen) -> None:
    """One streamed chat, its pieces counted as they come."""
    started = time.perf_counter()
    asked = {
        "messages": [{"role": "user", "content": plan["question"]}],
        "max_tokens": plan["pieces"],
        "temperature": plan["temperature"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    heard: list[float] = []

    def hear(chunk: dict[str, Any]) -> bool:
        choice = (chunk.get("choices") or [{}])[0]
        if (choice.get("delta") or {}).get("content"):
            heard.append(time.perf_counter())
        return False

    server.handle_chat_completions(asked, hear)
    seen.pieces += len(heard)
    seen.times.append((heard[0] - started) * 1000)
    seen.note(started, time.perf_counter())


def measure(server: Any, plan: dict[str, Any]) -> Seen:
    """What *clients* chats at once saw."""
    seen = Seen()
    chats = [threading.Thread(target=chat, args=(server, plan, seen)) for _ in range(plan["clients"])]
    for one in chats:
        one.start()
    for one in chats:
        one.join()
    return seen


def main() -> None:
    server = load_model(sys.argv[1])
    print("{}", flush=True)
    for line in sys.stdin:
        print(orjson.dumps(summary(measure(server, orjson.loads(line)))).decode(), flush=True)


if __name__ == "__main__":
    main()
