"""An S3 server that ignores If-None-Match, as older ones do: a gateway to a real server which leaves the header out."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import urllib3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from tests.s3_server import ACCESS, SECRET, Server

SIGNED = ("authorization", "x-amz-date", "x-amz-content-sha256")
OF_THE_CONNECTION = ("host", "connection", "expect", "transfer-encoding", "content-length")


@contextmanager
def serve(behind: Server, *, forgets: str = "PUT POST", host: str = "127.0.0.1") -> Iterator[Server]:
    """Passes on what it is asked, signed anew, without the condition of requests with these methods."""

    class Gateway(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            left_out = {*SIGNED, *OF_THE_CONNECTION, *(("if-none-match",) if self.command in forgets.split() else ())}
            kept = {name: value for name, value in self.headers.items() if name.lower() not in left_out}
            url = behind.endpoint + self.path
            asked = AWSRequest(self.command, url, headers=kept, data=body)
            S3SigV4Auth(Credentials(ACCESS, SECRET), "s3", "us-east-1").add_auth(asked)
            answer = urllib3.request(self.command, url, headers=dict(asked.headers), body=body, retries=False)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in OF_THE_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.data)))
            self.end_headers()
            self.wfile.write(answer.data)

        do_GET = do_PUT = do_POST = do_DELETE = _pass_on

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer((host, 0), Gateway) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield Server(endpoint=f"http://{host}:{server.server_port}", root=behind.root)
        finally:
            server.shutdown()
