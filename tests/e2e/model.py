"""A language model that follows a script: OpenAI's chat completions, on loopback (stdlib only)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from harness import HOST

Message = dict[str, Any]
#: From the conversation so far to the model's next message.
Script = Callable[[list[Message]], Message]


def say(text: str) -> Message:
    """The model's answer."""
    return {"role": "assistant", "content": text}


def use(*calls: tuple[str, dict[str, Any]]) -> Message:
    """The model's wish to use tools: (name, arguments) each."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for number, (name, arguments) in enumerate(calls)
        ],
    }


def answers(messages: list[Message]) -> list[str]:
    """What tools answered in a conversation."""
    return [message["content"] for message in messages if message["role"] == "tool"]


class Model:
    """The server. A script is found by the model's name in the request, which is how workflows choose theirs."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.requests: list[dict[str, Any]] = []
        self._thread: threading.Thread | None = None
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if not self.path.endswith("/chat/completions") or request.get("model") not in owner.scripts:
                    self._send(404, "application/json", b'{"error":{"message":"no such path or model"}}')
                    return
                owner.requests.append(request)
                message = owner.scripts[request["model"]](request["messages"])
                reason = "tool_calls" if message.get("tool_calls") else "stop"
                usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
                body = {"id": "chatcmpl-1", "created": 1, "model": request["model"], "usage": usage}
                if not request.get("stream"):
                    choice = {"index": 0, "message": message, "finish_reason": reason}
                    body |= {"object": "chat.completion", "choices": [choice]}
                    self._send(200, "application/json", json.dumps(body).encode())
                    return
                body["object"] = "chat.completion.chunk"
                calls = [{**call, "index": number} for number, call in enumerate(message.get("tool_calls") or [])]
                delta = {**message, "tool_calls": calls} if calls else message
                chunks = [
                    {**body, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
                    {**body, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
                ]
                lines = [json.dumps(chunk) for chunk in chunks] + ["[DONE]"]
                self._send(200, "text/event-stream", "".join(f"data: {line}\n\n" for line in lines).encode())

            def _send(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self.server.server_address[1]}/v1"

    def start(self) -> Self:
        """Serve from now on."""
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Serve no more."""
        if self._thread is not None:
            self.server.shutdown()
        self.server.server_close()
