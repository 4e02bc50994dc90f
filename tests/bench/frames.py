"""Cameras in one process of their own; prints what they saw as JSON.

python -m tests.bench.frames '{"port": 8000, "path": "/ws/camera?mode=detect", "file": "…", "cameras": 8, "rate": 30,
                               "seconds": 5, "token": "…"}'

Each sends the picture *rate* times a second, whether it was answered or not, as a browser does; a rate of 0 sends the
next frame as soon as the last one was answered.
"""

import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import orjson
from websocket import WebSocket, create_connection

LONGEST_SECONDS = 60.0


@dataclass
class Camera:
    """One camera and what it saw; times in milliseconds, from a frame's sending to its answer."""

    client: WebSocket
    sent: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    dropped: int = 0
    errors: int = 0
    example: str = ""

    def send(self, picture: bytes) -> None:
        self.sent.append(time.perf_counter())
        self.client.send_binary(picture)

    def hear(self) -> None:
        """Take one answer; a frame's id is its number."""
        answer = orjson.loads(self.client.recv())
        if answer["type"] == "error":
            self.errors += 1
            self.example = answer["detail"]
            return
        self.dropped += answer["dropped"]
        self.times.append((time.perf_counter() - self.sent[answer["id"] - 1]) * 1000)


def film(plan: dict[str, Any]) -> dict[str, Any]:
    """What all cameras of *plan* saw together."""
    picture = Path(plan["file"]).read_bytes()
    cameras = [Camera(open_camera(plan)) for _ in range(plan["cameras"])]
    begun = time.perf_counter()
    threads = [threading.Thread(target=run, args=(camera, picture, plan, begun)) for camera in cameras]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return figures(cameras, time.perf_counter() - begun)


def open_camera(plan: dict[str, Any]) -> WebSocket:
    header = {"Authorization": f"Bearer {plan['token']}"}
    address = f"ws://127.0.0.1:{plan['port']}{plan['path']}"
    return create_connection(address, header=header, timeout=LONGEST_SECONDS, suppress_origin=True)


def run(camera: Camera, picture: bytes, plan: dict[str, Any], begun: float) -> None:
    """Film until the time is over, and hear the answer to what was sent last."""
    if plan["rate"]:
        listening = threading.Thread(target=listen, args=(camera,), daemon=True)
        listening.start()
        pause_seconds = 1 / plan["rate"]
        for number in range(int(plan["seconds"] * plan["rate"])):
            time.sleep(max(0.0, begun + number * pause_seconds - time.perf_counter()))
            camera.send(picture)
        time.sleep(max(0.0, begun + plan["seconds"] - time.perf_counter()))
    else:
        while time.perf_counter() - begun < plan["seconds"]:
            camera.send(picture)
            camera.hear()
    camera.client.shutdown()


def listen(camera: Camera) -> None:
    try:
        while True:
            camera.hear()
    except (OSError, ValueError, AttributeError):
        return  # It was closed here.


def figures(cameras: list[Camera], seconds: float) -> dict[str, Any]:
    times = sorted(took for camera in cameras for took in camera.times)
    parts = quantiles(times, n=100, method="inclusive") if len(times) > 1 else [float("nan")] * 99
    return {
        "frames_a_second": len(times) / seconds,
        "p50_ms": parts[49],
        "p95_ms": parts[94],
        "sent_a_second": sum(len(camera.sent) for camera in cameras) / seconds,
        "dropped": sum(camera.dropped for camera in cameras),
        "errors": sum(camera.errors for camera in cameras),
        "example": next((camera.example for camera in cameras if camera.example), ""),
    }


if __name__ == "__main__":
    print(orjson.dumps(film(orjson.loads(sys.argv[1]))).decode())
