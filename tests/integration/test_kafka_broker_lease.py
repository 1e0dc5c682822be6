"""R15: a recommender whose broker does not answer goes on from what it has, says that this may be
old, and takes it back as soon as it is known to be the truth again.

    broker:   answers │ SIGSTOP ................................ │ SIGCONT
    server:   fresh   │ fresh: 3 s │ "stale":true, or 503         │ fresh
"""
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, os.path.join(HERE, "recommender"))

import kafka  # noqa: E402
import server as recommender  # noqa: E402

LEASE_S = 3
# Asked for all the time: the server's two threads must not wait for the broker either.
PATHS = ("/v1/users/ann/recommendations", "/v1/trending", "/v1/items/boots/similar")


class Lease(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # A broker that its controller misses takes the partitions' leaders with it; not here.
        cls.broker = kafka.Broker(settings={"broker.session.timeout.ms": 60000}).__enter__()
        cls.addClassCleanup(cls.broker.close)

    def serve(self, name, *flags):
        server = recommender.Server(None, ["--log", self.broker.log, "--name", name,
                                           "--max-staleness", f"{LEASE_S}s",
                                           *(word for kind in ("interactions", "recommendations",
                                                               "sessions", "popularity", "late",
                                                               "dead-letters")
                                             for word in (f"--{kind}-topic", f"{name}-{kind}")),
                                           *flags])
        self.addCleanup(server.stop)
        server.start()
        for item in ("boots", "socks"):
            self.assertEqual(server.post("/v1/events", {"user_id": "ann", "item_id": item})[0],
                             202)
        server.wait_processed(2)
        return server

    def timed(self, server, path):
        began = time.monotonic()
        answer = server.get(path)
        self.assertLess(time.monotonic() - began, 2, path)
        return answer

    def assert_fresh(self, server):
        for path in PATHS + ("/readyz",):
            status, body, headers = self.timed(server, path)
            self.assertEqual((status, body.get("stale")), (200, None), path)
            self.assertNotIn("leat-stale", headers)

    def is_stale(self, server):
        status, body, _ = server.get(PATHS[0])
        return status == 503 or body.get("stale")

    def while_the_broker_stands_still(self, server, look):
        time.sleep(2 * LEASE_S)  # idle: only what the lease itself commits proves anything
        self.assert_fresh(server)
        self.broker.pause()
        try:
            began = time.monotonic()
            server.wait_until(lambda: self.is_stale(server), "a stale answer", 3 * LEASE_S)
            self.assertGreater(time.monotonic() - began, LEASE_S / 2)
            look()
        finally:
            self.broker.resume()
        server.wait_until(lambda: not self.is_stale(server), "a fresh answer", 30)
        self.assert_fresh(server)
        server.post("/v1/events", {"user_id": "ann", "item_id": "laces"})
        server.wait_processed(3)

    def test_answers_are_marked_and_it_goes_on(self):
        server = self.serve("marked")

        def look():
            for path in PATHS + ("/readyz",):
                status, body, headers = self.timed(server, path)
                self.assertEqual((status, body["stale"]), (200, True), path)
                self.assertGreaterEqual(float(headers["leat-stale"]), LEASE_S)
            for _ in range(3):
                self.assertEqual(self.timed(server, "/metrics")[0], 200)
            metrics = server.metrics()
            self.assertGreater(metrics["leat_proof_age_seconds"], LEASE_S)
            name = 'leat_recommender_stale_answers_total{how="marked"}'
            self.assertGreaterEqual(metrics[name], 4)

        self.while_the_broker_stands_still(server, look)

    def test_or_they_are_refused(self):
        server = self.serve("refused", "--when-stale", "refuse")

        def look():
            for path in PATHS + ("/readyz",):
                status, body, _ = self.timed(server, path)
                self.assertEqual((status, body["type"]), (503, "urn:leat:problem:stale"), path)
            self.assertEqual(self.timed(server, "/healthz")[0], 200)

        self.while_the_broker_stands_still(server, look)


if __name__ == "__main__":
    recommender.main()
