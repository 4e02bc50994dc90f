"""README's examples run as they stand, with only the address and the password put in."""

import shutil
import subprocess
import sys

import pytest

from tests.live import ADMIN_PASSWORD, LiveServer
from tests.test_truth import blocks

pytestmark = pytest.mark.slow


def example(language: str, word: str, server: LiveServer) -> str:
    """The one code block in *language* that has *word*, for *server*."""
    (code,) = [code for code in blocks("README.md", language) if word in code]
    return code.replace("http://127.0.0.1:8000", server.url).replace("PASSWORD", ADMIN_PASSWORD)


def run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_curl_streams(open_server: LiveServer) -> None:
    said = run("bash", "-c", example("bash", "/api/chat/stream", open_server))
    assert said.startswith("data: {") and said.endswith("data: [DONE]\n\n")
    assert '"finish_reason":"stop"' in said or '"finish_reason":"length"' in said


def test_python_streams(open_server: LiveServer) -> None:
    assert run(sys.executable, "-c", example("python", "/api/chat/stream", open_server)).strip()


@pytest.mark.skipif(shutil.which("node") is None, reason="node plays the browser")
def test_a_browsers_fetch_streams(open_server: LiveServer) -> None:
    token = open_server.login()["Authorization"].removeprefix("Bearer ")
    call = f"ask({open_server.url!r}, {token!r}, 'Where is Paris?', (piece) => process.stdout.write(piece))"
    assert run("node", "-e", example("js", "fetch(", open_server) + call).strip()
