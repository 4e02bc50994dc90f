"""What one would write first: Flask and requests, system 4's two chat routes, and nothing else."""

import json
import os

import requests
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
upstream = requests.Session()
upstream.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=1000))
URL = os.environ["OPENAI_BASE_URL"] + "/chat/completions"


@app.post("/api/chat/completions")
def complete():
    answer = upstream.post(URL, json=request.json, timeout=60).json()
    choice, text = answer["choices"][0], answer["choices"][0]["message"]["content"]
    view = {"id": answer["id"], "content": text, "model": answer["model"], "usage": answer["usage"]}
    return jsonify(view | {"finish_reason": choice["finish_reason"]})


@app.post("/api/chat/stream")
def stream():
    answer = upstream.post(URL, json=request.json | {"stream": True}, timeout=60, stream=True)
    return Response(frames(answer), mimetype="text/event-stream")


def frames(answer):
    for line in answer.iter_lines(chunk_size=None):
        if line.startswith(b"data: {"):
            choice = json.loads(line[6:])["choices"][0]
            shown = {"content": choice["delta"].get("content", ""), "finish_reason": choice["finish_reason"]}
            yield f"data: {json.dumps(shown)}\n\n"
    yield "data: [DONE]\n\n"


@app.get("/health")
def health():
    return {"status": "ok"}
