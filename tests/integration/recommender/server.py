"""A real leat-recommender for tests: a free port, a directory of its own, a small HTTP client.

    with Server() as server:
        status, body, headers = server.get("/healthz")
"""
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BINARY = os.path.join(os.environ.get("LEAT_BIN_DIR", "build/release/bin"), "leat-recommender")


def main():
    """Runs the tests of the calling file; skipped where the program was not built."""
    if not os.path.exists(BINARY):
        print("skipped: there is no", BINARY)
        sys.exit(77)
    unittest.main()


class Server:
    def __init__(self, data_dir=None, flags=()):
        self.own_dir = data_dir is None
        self.data_dir = data_dir or tempfile.mkdtemp(prefix="leat-recommender-")
        self.flags = list(flags)
        self.command, self.env = BINARY, None
        self.process = None
        self.connection = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        code = self.stop()
        if self.own_dir:
            shutil.rmtree(self.data_dir, ignore_errors=True)
        assert code in (None, 0), f"the server ended with {code}"

    def start(self):
        command = [self.command, "serve", "--data-dir", self.data_dir, "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command + self.flags, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env=self.env)
        line = self.process.stdout.readline()
        if not line.startswith("ready http://127.0.0.1:"):
            self.process.wait()
            raise AssertionError(f"not ready: {line!r} {self.process.stderr.read()!r}")
        self.url = line.split()[1]
        self.port = int(self.url.rsplit(":", 1)[1])

    def stop(self, signal_number=signal.SIGTERM):
        """Ends the server; returns its exit code."""
        self.close()
        if self.process is None:
            return None
        self.process.send_signal(signal_number)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.errors = self.process.stderr.read()
        if code != 0 and signal_number != signal.SIGKILL:
            print(self.errors, file=sys.stderr)
        self.process.stdout.close()
        self.process.stderr.close()
        self.process = None
        return code

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def request(self, method, path, body=None, headers=None):
        """One request over the kept connection: (status, body, headers)."""
        for attempt in (0, 1):
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                self.connection.request(method, path, body=body, headers=headers or {})
                answer = self.connection.getresponse()
                data = answer.read()
                break
            except (http.client.HTTPException, ConnectionError):
                self.close()
                if attempt:
                    raise
        kind = answer.getheader("Content-Type", "")
        if kind in ("application/json", "application/problem+json"):
            data = json.loads(data) if data else None
        return answer.status, data, {k.lower(): v for k, v in answer.getheaders()}

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, value, kind="application/json"):
        body = value if isinstance(value, (str, bytes)) else json.dumps(value)
        return self.request("POST", path, body, {"Content-Type": kind})

    def metrics(self):
        status, text, _ = self.get("/metrics")
        assert status == 200
        values = {}
        for line in text.decode().splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        return values

    def wait_until(self, condition, what, timeout_s=20):
        """Polls; the job commits within milliseconds, a loaded machine takes longer."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            value = condition()
            if value:
                return value
            time.sleep(0.01)
        raise AssertionError("not seen in time: " + what)

    def wait_processed(self, count):
        """Until the job has committed that many recommendations since the server started."""
        name = "leat_recommender_accepted_to_committed_seconds_count"
        self.wait_until(lambda: self.metrics()[name] >= count, f"{count} recommendations")


def consume(data_dir, topic):
    """The committed values of a topic, parsed, through the independent `leat` tool."""
    tool = os.path.join(os.path.dirname(BINARY), "leat")
    out = subprocess.run([tool, "consume", "--log", f"embedded:{data_dir}/log", topic,
                          "--until-end"],
                         check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines() if line]


def produce(data_dir, topic, values, key):
    """By the `leat` tool, while the server is stopped."""
    tool = os.path.join(os.path.dirname(BINARY), "leat")
    subprocess.run([tool, "produce", "--log", f"embedded:{data_dir}/log", topic, "--key", key,
                    "--quiet"], check=True, text=True,
                   input="".join(json.dumps(value) + "\n" for value in values))


def index_of_log(data_dir):
    return subprocess.run([BINARY, "index", "--data-dir", data_dir], check=True,
                          capture_output=True).stdout


def in_thread(function, *args):
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread
