"""`make bench-annotate`: pictures described through the service by an upstream that always takes as long.

    python -m tests.bench.annotate [--pictures 200] [--concurrency 16] [--upstream-ms 200] [--rounds 3]

The time is that of the request, from its first byte to the whole answer: a job is made, found, run and written
down. The ideal is that of the calls alone, as many at once as are allowed. At most 1.15 of it is wanted.
"""

import argparse
import asyncio
import io
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import requests
from PIL import Image

from tests.bench import report
from tests.bench.upstream import content_length
from tests.live import LiveServer, free_port

WANTED = 1.15
SIZE = (640, 480)
ANSWER = json.dumps(
    {
        "id": "call-1",
        "choices": [{"message": {"role": "assistant", "content": "A picture."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 800, "completion_tokens": 3, "total_tokens": 803},
    }
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--upstream-ms", type=float, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=int, help="only be the upstream, on this port")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.serve, options.upstream_ms / 1000))
        return
    with tempfile.TemporaryDirectory(prefix="bench-annotate-") as folder:
        took = measure(Path(folder), options)
    ideal = math.ceil(options.pictures / options.concurrency) * options.upstream_ms / 1000
    rows = [
        ["ideal s", f"{ideal:.2f}"],
        ["seconds, median", f"{median(took):.2f}"],
        ["seconds, slowest", f"{max(took):.2f}"],
        ["of the ideal, median", f"{median(took) / ideal:.3f} (wanted: {WANTED})"],
    ]
    print(report.table(["", f"{options.pictures} pictures, {options.concurrency} at once"], rows))


def measure(folder: Path, options: argparse.Namespace) -> list[float]:
    """The seconds of each round."""
    port = free_port()
    server = LiveServer(folder, AUTH="open", ALLOW_HTTP_UPSTREAMS="true", ALLOWED_UPSTREAMS="127.0.0.1")
    command = [sys.executable, "-m", "tests.bench.annotate", "--serve", str(port)]
    upstream = subprocess.Popen([*command, "--upstream-ms", str(options.upstream_ms)])
    try:
        server.start()
        names = upload(server.url, options.pictures)
        endpoint = f"http://127.0.0.1:{port}/v1/chat/completions"
        return [describe(server.url, endpoint, names, options.concurrency, number) for number in range(options.rounds)]
    finally:
        server.stop()
        upstream.terminate()
        upstream.wait(10)


def upload(url: str, count: int) -> list[str]:
    """Upload that many pictures, no two alike; their names."""
    files = [("files", (f"{number}.jpg", picture(number))) for number in range(count)]
    answer = requests.post(f"{url}/api/upload", files=files, timeout=300)
    answer.raise_for_status()
    return [file["name"] for file in answer.json()["files"]]


def picture(number: int) -> bytes:
    """The JPEG of that number."""
    file = io.BytesIO()
    noise = Image.effect_noise(SIZE, 20).convert("RGB")
    noise.paste((number % 256, number // 256, 90), (0, 0, 64, 64))
    noise.save(file, "JPEG", quality=85)
    return file.getvalue()


def describe(url: str, endpoint: str, names: list[str], concurrency: int, number: int) -> float:
    """The seconds until every picture is described; each round asks anew, since answers are remembered."""
    form = {
        "api_endpoint": endpoint,
        "file_names": json.dumps(names),
        "system_prompt": f"Round {number}.",
        "concurrency": str(concurrency),
    }
    began = time.perf_counter()
    answer = requests.post(
        f"{url}/api/generate", files={name: (None, value) for name, value in form.items()}, timeout=600
    )
    took = time.perf_counter() - began
    answer.raise_for_status()
    if answer.json()["succeeded"] != len(names):
        raise SystemExit(f"{answer.json()['failed']} pictures were not described")
    return took


async def serve(port: int, seconds: float) -> None:
    """Answer every POST after *seconds*, as many at once as come."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(content_length(head))
                await asyncio.sleep(seconds)
                writer.write(HEAD + ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=256)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    main()
