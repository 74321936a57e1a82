"""Sockets: reads a request, looks for a fault, lets `Api` answer, and breaks what is to break."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .api import BASE, Api
from .faults import Fault
from .messages import Request, Response, error

PAGE = b"<html><body><form action='/login'>Please sign in to use this network.</form></body></html>"


class Server(ThreadingHTTPServer):
    """One thread for each connection; the client keeps its connections open."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, api: Api) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.api = api

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away (or was killed) is no error of the server."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request.of(self.command, self.path, headers, body)
        api = self.server.api
        fault = None
        if not request.path.startswith("/_test/"):
            api.count(request)
            fault = api.faults.for_request(self.command, self.path.removeprefix(BASE))
        if fault is None:
            self._send(self._answer(request))
            return
        api.faults.wait_for(fault)
        time.sleep(fault.delay)
        if fault.twice:
            self._answer(request)
        response = self._answer(request) if fault.act else Response(200, b"{}")
        time.sleep(fault.delay_answer)
        self._break(response, fault)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _answer(self, request: Request) -> Response:
        try:
            return self.server.api.handle(request)
        except Exception:
            return error(500, 1500, traceback.format_exc())

    def _head(self, response: Response, length: int | None) -> bytes:
        lines = [f"HTTP/1.1 {response.status} {self.responses.get(response.status, ('?',))[0]}"]
        lines.append(f"Date: {self.date_time_string()}")
        if response.status != 204:
            lines.append(f"Content-Type: {response.content_type}")
        if length is not None:
            lines.append(f"Content-Length: {length}")
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def _send(self, response: Response) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(self._head(response, len(response.body)) + response.body)
            self.wfile.flush()

    def _break(self, response: Response, fault: Fault) -> None:
        half = response.body[: len(response.body) // 2]
        match fault.answer:
            case "normal":
                self._send(response)
            case "status":
                body = fault.body or json.dumps(
                    {"errors": [{"code": fault.code, "message": "ordered by the test"}]}
                )
                self._send(Response(fault.code, body.encode(), headers=fault.headers))
            case "html":
                self._send(Response(200, PAGE, "text/html"))
            case "empty":
                self._send(Response(204))
            case "truncate":
                self._send(Response(response.status, half, response.content_type))
            case "cut" | "reset_mid":
                with contextlib.suppress(OSError):
                    self.wfile.write(self._head(response, len(response.body)) + half)
                    self.wfile.flush()
                    time.sleep(0.05)  # the half reaches the client before the connection ends
                self._end(reset=fault.answer == "reset_mid")
            case "reset":
                self._end(reset=True)

    def _end(self, reset: bool) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            if reset:
                linger = struct.pack("ii", 1, 0)  # close() then sends RST
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                # `finish` would shut the connection down in order first; close it here.
                self.rfile.close()
                self.wfile.close()
                self.connection.close()
            else:
                self.connection.shutdown(socket.SHUT_RDWR)
