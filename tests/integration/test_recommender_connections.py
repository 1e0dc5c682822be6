"""Connections beyond what the limit of open files allows: the server goes on, whoever comes is
served, and idle connections make room."""
import os
import re
import resource
import socket
import stat
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "recommender"))

import server as recommender  # noqa: E402

IDLE = 3000


class Limited(recommender.Server):
    """A server whose shell has run `ulimit`."""

    def __init__(self, ulimit):
        super().__init__()
        self.wrapper = os.path.join(self.data_dir, "limited.sh")
        with open(self.wrapper, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nulimit {ulimit} || exit 99\nexec {self.command} "$@"\n')
        os.chmod(self.wrapper, stat.S_IRWXU)
        self.command = self.wrapper

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


def connect(port):
    one = socket.create_connection(("127.0.0.1", port), timeout=10)
    one.setblocking(False)
    return one


def is_open(one):
    try:
        return one.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


class Connections(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, IDLE + 2000), hard))

    def flood(self, server, most):
        """IDLE connections that ask nothing, while events and questions for health go on."""
        idle, accepted = [], 0
        for n in range(IDLE):
            idle.append(connect(server.port))
            if n % 100 == 0:
                status, answer, _ = server.post("/v1/events", {"user_id": f"u{n}", "item_id": "i"})
                self.assertEqual((status, answer["accepted"]), (202, 1))
                accepted += 1
            if n % 500 == 250: # as a prober does: on a connection of its own, again after a pause
                self.health(server)
        self.assertIsNone(server.process.poll())
        metrics = server.metrics()
        self.assertEqual(metrics["leat_http_connections_max"], most)
        # some are being closed, and one is asking
        self.assertLessEqual(metrics["leat_http_connections"], most + 33)
        def closed():
            return sum(value for name, value in server.metrics().items()
                       if name.startswith("leat_http_connections_closed_total"))
        # the last ones may still wait to be accepted
        server.wait_until(lambda: closed() >= IDLE - most - 32, "connections closed at the bound")
        name = 'leat_recommender_interactions_total{result="counted"}'
        server.wait_until(lambda: server.metrics()[name] == accepted, "the events")
        time.sleep(0.3)
        still = sum(is_open(one) for one in idle)
        self.assertLessEqual(still, most)
        self.assertGreater(still, most // 2) # those that were there are not all thrown out
        for one in idle:
            one.close()

    def health(self, server):
        for path in ("/healthz", "/readyz", "/metrics"):
            for attempt in range(5):
                result = subprocess.run(
                    ["curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}",
                     f"{server.url}{path}"], stdout=subprocess.PIPE, text=True, check=False)
                if result.stdout == "200":
                    break
                time.sleep(0.3) # all have come within the last quarter of a second
            self.assertEqual(result.stdout, "200", path)

    def run_with(self, ulimit, limit):
        with Limited(ulimit) as server:
            most = server.metrics()["leat_http_connections_max"]
            self.flood(server, most)
            self.assertLess(server.descriptors(), limit)
            server.wait_until(lambda: server.metrics()["leat_http_connections"] < 10, "closing")
            self.assertEqual(server.stop(), 0)
            said = re.search(r"(\d+) descriptors \(ulimit -n\): log (\d+), state (\d+), "
                             r"others (\d+), connections (\d+)", server.errors)
            numbers = [int(number) for number in said.groups()]
            self.assertEqual(numbers[0], limit)
            self.assertEqual(numbers[4], most)
            self.assertLessEqual(sum(numbers[1:]), limit)

    def test_a_usual_limit(self):
        self.run_with("-n 1024", 1024)

    def test_a_low_limit(self):
        self.run_with("-n 256", 256)

    def test_a_soft_limit_is_raised(self):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with Limited("-S -n 64") as server:
            most = server.metrics()["leat_http_connections_max"]
            self.assertGreater(most, 64)
            if hard > 6000:
                self.assertEqual(most, 4000)

    def test_too_low_a_limit_is_refused_with_the_remedy(self):
        with tempfile.TemporaryDirectory() as folder:
            serve = (f'ulimit -n 128; exec "{recommender.BINARY}" serve --data-dir {folder} '
                     "--listen 127.0.0.1:0")
            result = subprocess.run(["sh", "-c", serve], stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, text=True, check=False)
            self.assertEqual(result.returncode, 64)
            self.assertRegex(result.stderr, r"the limit of open files is 128, and at least \d+ are "
                                            r"needed: raise it with `ulimit -n 1024`")
            self.assertEqual(os.listdir(folder), [])


if __name__ == "__main__":
    recommender.main()
