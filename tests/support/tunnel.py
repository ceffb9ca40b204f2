"""Forwards HTTP from a port to another on loopback, as a tunnel does: `python -m tests.support.tunnel FROM TO`.

The receiver sees the public name in Host and what proxies add, as with ngrok and cloudflared.
"""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

PUBLIC_NAME = "laptop.tunnel.example"


def serve(port: int, target: str) -> None:
    """Forward each POST until the process is ended."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            passed = {name: value for name, value in self.headers.items() if name not in {"Host", "Connection"}}
            forwarded = {"Host": PUBLIC_NAME, "X-Forwarded-Host": PUBLIC_NAME, "X-Forwarded-Proto": "https"}
            passed |= {**forwarded, "X-Forwarded-For": "192.0.2.7"}
            answer = requests.post(f"{target}{self.path}", data=body, headers=passed, timeout=20)
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), f"http://127.0.0.1:{sys.argv[2]}")
