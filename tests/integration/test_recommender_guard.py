"""Who may ask what: names in Host, and the index for diagnosis."""
import http.client
import json
import os
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "recommender"))

import server as recommender  # noqa: E402


def ask(port, head, path="/healthz", version="1.1"):
    """One request with exactly these header lines; (status, problem or None)."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        lines = [f"GET {path} HTTP/{version}", *head, "Connection: close", "", ""]
        sock.sendall("\r\n".join(lines).encode())
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        body = answer.read()
        kind = answer.getheader("Content-Type")
        return answer.status, json.loads(body) if kind == "application/problem+json" else None


def post_raw(port, head, body):
    """What is answered to these bytes on one connection, until it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        lines = ["POST /v1/events HTTP/1.1", "Host: localhost", *head, "", ""]
        sock.sendall("\r\n".join(lines).encode() + body)
        data = b""
        try:
            while chunk := sock.recv(65536):
                data += chunk
        except ConnectionResetError: # it was closed before it had read all
            pass
        return data


class Framing(unittest.TestCase):
    """Where a request ends must be the same for a proxy in front and for us: what one of them takes
    for the body must not be the next request for the other."""

    def test_a_length_that_is_not_one_is_refused_and_the_connection_closed(self):
        event = b'{"user_id":"u","item_id":"i"}'
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(event), event)
        hidden = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
        length = f"Content-Length: {len(event)}"
        with recommender.Server() as server:
            for head, body in (([length, length], event),
                               ([length, "content-length: 4"], event),
                               (["Content-Length: 4", length], event),
                               ([length, "Transfer-Encoding: chunked"], chunked),
                               (["transfer-encoding: chunked", "Content-Length: 4"], chunked),
                               (["Transfer-Encoding: chunked"] * 2, chunked),
                               (["Transfer-Encoding: gzip, chunked"], chunked),
                               (["Transfer-Encoding: identity", length], event)):
                said = post_raw(server.port, head, body + hidden)
                self.assertTrue(said.startswith(b"HTTP/1.1 400"), (head, said))
                self.assertEqual(said.count(b"HTTP/1.1 "), 1, (head, said))
                self.assertIn(b"bad-framing", said, head)
                self.assertIn(b"connection: close", said.lower(), head)
            for head, body in (([length], event), (["Transfer-Encoding: Chunked"], chunked)):
                said = post_raw(server.port, [*head, "Connection: close"], body)
                self.assertTrue(said.startswith(b"HTTP/1.1 202"), (head, said))


class Host(unittest.TestCase):
    def check(self, server, hosts, status):
        for host in hosts:
            for path in ("/healthz", "/metrics", "/v1/trending"):
                got, problem = ask(server.port, [f"Host: {host}"], path)
                self.assertEqual(got, status, (host, path))
                if status != 200:
                    self.assertEqual(problem["status"], status)

    def test_local_names_with_and_without_a_port(self):
        with recommender.Server() as server:
            self.check(server, [f"127.0.0.1:{server.port}", "127.0.0.1", "localhost", "LocalHost",
                                f"localhost:{server.port}", "localhost:1", "[::1]",
                                f"[::1]:{server.port}", "localhost:65535"], 200)
            self.check(server, ["evil.example", f"evil.example:{server.port}", "localhost.evil.com",
                                "127.0.0.1.evil.com", "evil-localhost", "[::2]", "127.0.0.2",
                                "0.0.0.0", "localhost.", "localhos"], 421)
            self.check(server, ["", "localhost:", "localhost:x", "localhost:65536",
                                "localhost:000080", "localhost:80:80", "[::1", "[::1]80",
                                "a b", "user@localhost", "localhost,evil", "/localhost"], 400)

    def test_none_or_two(self):
        with recommender.Server() as server:
            self.assertEqual(ask(server.port, [])[0], 400)
            self.assertEqual(ask(server.port, [], version="1.0")[0], 400)
            self.assertEqual(ask(server.port, ["Host: localhost", "Host: localhost"])[0], 400)
            self.assertEqual(ask(server.port, ["Host: localhost", "host: evil.example"])[0], 400)
            metrics = server.metrics()
            self.assertEqual(metrics['leat_http_requests_total{route="none",code="400"}'], 4)

    def test_names_that_are_allowed(self):
        flags = ["--allow-host", "shop.example,api.example:8443"]
        with recommender.Server(flags=flags) as server:
            self.check(server, ["shop.example", "SHOP.example:1234", "api.example:8443",
                                "localhost"], 200)
            self.check(server, ["api.example", "api.example:8444", "shop.example.evil.com",
                                "example", "op.example"], 421)

    def test_curl_as_a_rebound_page_would_ask(self):
        with recommender.Server() as server:
            result = subprocess.run(
                ["curl", "-s", "-w", "%{http_code}", "--resolve",
                 f"rebound.example:{server.port}:127.0.0.1",
                 f"http://rebound.example:{server.port}/v1/trending"],
                stdout=subprocess.PIPE, text=True, check=True)
            self.assertTrue(result.stdout.endswith("421"), result.stdout)
            problem = json.loads(result.stdout[:-3])
            self.assertIn("--allow-host", problem["detail"])


class DebugIndex(unittest.TestCase):
    def fill(self, server, users, items=20):
        """Sessions of so many users, closed by events of a day later."""
        base = int(time.time() * 1000) - 10 * 3600000
        for first in range(0, users, 500):
            events = [{"user_id": f"user-{n}", "item_id": f"item-{(n * 7 + k) % 5000}",
                       "timestamp_ms": base + k * 1000}
                      for n in range(first, min(first + 500, users)) for k in range(items)]
            self.assertEqual(server.post("/v1/events", events)[0], 202)
        later = [{"user_id": f"later-{n}", "item_id": "x", "timestamp_ms": base + 3 * 3600000}
                 for n in range(64)]
        self.assertEqual(server.post("/v1/events", later)[0], 202)
        name = "leat_recommender_index_sessions_counted"
        server.wait_until(lambda: server.metrics()[name] >= users, "the sessions", 180)

    def test_it_is_off_unless_asked_for(self):
        with recommender.Server() as server:
            status, problem, _ = server.get("/v1/debug/index")
            self.assertEqual(status, 404)
            self.assertIn("--debug-endpoints", problem["detail"])

    def test_it_names_no_user_and_equals_a_build_from_the_log(self):
        with recommender.Server(flags=["--debug-endpoints"]) as server:
            self.fill(server, 50)
            status, text, _ = server.get("/v1/debug/index")
            self.assertEqual(status, 200)
            self.assertNotIn(b"user-", text)
            self.assertIn(b"item-", text)
            server.wait_until(lambda: server.get("/v1/debug/index")[1] ==
                              recommender.index_of_log(server.data_dir), "equal indexes")

    def test_readers_that_do_not_read(self):
        """A hundred of them: one is served, little memory is taken, and it is cut off."""
        with recommender.Server(flags=["--debug-endpoints"]) as server:
            self.fill(server, 20000)
            size = len(server.get("/v1/debug/index")[1])
            self.assertGreater(size, 5 << 20)
            before = server.metrics()["process_resident_memory_bytes"]
            readers = []
            for _ in range(100):
                sock = socket.socket()
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                sock.connect(("127.0.0.1", server.port))
                sock.sendall(b"GET /v1/debug/index HTTP/1.1\r\nHost: localhost\r\n\r\n")
                readers.append(sock)
            for _ in range(20):
                started = time.monotonic()
                self.assertEqual(server.get("/readyz")[0], 200)
                self.assertLess(time.monotonic() - started, 5)
                time.sleep(0.1)
            grown = server.metrics()["process_resident_memory_bytes"] - before
            self.assertLess(grown, 48 << 20)
            busy = 'leat_http_requests_total{route="debug_index",code="503"}'
            self.assertGreaterEqual(server.metrics()[busy], 99)
            # the one that is served takes nothing: it is cut off, and the next is served
            server.wait_until(lambda: server.get("/v1/debug/index")[0] == 200, "its end", 40)
            for sock in readers:
                sock.close()


if __name__ == "__main__":
    recommender.main()
