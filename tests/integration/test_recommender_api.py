"""Every endpoint of the HTTP API against a real server."""
import http.client
import json
import os
import socket
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "recommender"))
import server as recommender  # noqa: E402

T0 = 1_700_000_000_000
MINUTE = 60_000


def event(user, item, at_ms, **more):
    return {"user_id": user, "item_id": item, "timestamp_ms": at_ms, **more}


def items_of(answer):
    return [item["item_id"] for item in answer["items"]]


class Api(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = recommender.Server()
        cls.server.start()

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0

    def assert_problem(self, answer, status, slug=None):
        got, body, headers = answer
        self.assertEqual(got, status, body)
        self.assertEqual(headers["content-type"], "application/problem+json")
        self.assertEqual(body["status"], status)
        self.assertTrue(body["title"] and body["detail"])
        if slug is not None:
            self.assertEqual(body["type"], "urn:leat:problem:" + slug)

    # ------------------------------------------------------------------ events

    def test_one_event_is_accepted(self):
        status, body, _ = self.server.post("/v1/events", event("one", "i", T0))
        self.assertEqual((status, body), (202, {"accepted": 1, "rejected": 0}))

    def test_an_envelope_is_accepted(self):
        status, body, _ = self.server.post("/v1/events", {
            "event_id": "6f1c", "event_type": "user_interaction",
            "timestamp": "2023-11-14T22:13:20Z", "user_id": "envelope", "session_id": "s",
            "data": {"item_id": "i", "interaction_type": "click",
                                                               "context": {"device": "mobile"}}})
        self.assertEqual((status, body["accepted"]), (202, 1))

    def test_an_array_may_be_accepted_in_part(self):
        status, body, _ = self.server.post("/v1/events", [
            event("part", "i", T0), {"user_id": "part"}, 7, event("part", "j", "last week")])
        self.assertEqual((status, body["accepted"], body["rejected"]), (202, 1, 3))
        self.assertEqual([e["index"] for e in body["errors"]], [1, 2, 3])
        self.assertEqual([e.get("field") for e in body["errors"]], ["item_id", None, "timestamp"])

    def test_lines_are_accepted(self):
        lines = "\n".join((json.dumps(event("lines", "i", T0)), "", "{broken",
                           json.dumps(event("lines", "j", T0))))
        status, body, _ = self.server.post("/v1/events", lines, "application/x-ndjson")
        self.assertEqual((status, body["accepted"], body["rejected"]), (202, 2, 1))
        self.assertEqual(body["errors"][0]["index"], 1)

    def test_an_event_over_several_lines_is_one_event(self):
        text = json.dumps(event("pretty", "i", T0), indent=2)
        status, body, _ = self.server.post("/v1/events", text)
        self.assertEqual((status, body["accepted"]), (202, 1))

    def test_a_malformed_body_is_refused_as_a_whole(self):
        for body in ("", "   ", "[" + json.dumps(event("u", "i", T0)) + ",", "[1,2", "\"text\"",
                     "\xff"):
            self.assert_problem(self.server.post("/v1/events", body.encode("latin-1")), 400)

    def test_no_valid_event_is_a_400_that_names_the_field(self):
        answer = self.server.post("/v1/events", {"item_id": "i"})
        self.assert_problem(answer, 400, "invalid-event")
        self.assertEqual(answer[1]["errors"],
                         [{"index": 0, "field": "user_id", "reason": "user_id is missing"}])

    def test_an_empty_array_takes_nothing(self):
        status, body, _ = self.server.post("/v1/events", [])
        self.assertEqual((status, body["accepted"]), (202, 0))

    def test_an_id_that_no_path_can_name_is_refused_with_its_field(self):
        for field in ("user_id", "item_id", "event_id", "session_id", "category"):
            bad = {**event("u", "i", T0), field: "a\0b"}
            lines = "\n".join(json.dumps(one) for one in (event("nul", "i", T0), bad))
            for body, index in (([event("nul", "i", T0), bad], 1), (lines, 1)):
                kind = "application/x-ndjson" if isinstance(body, str) else "application/json"
                status, answer, _ = self.server.post("/v1/events", body, kind)
                self.assertEqual((status, answer["accepted"]), (202, 1))
                self.assertEqual(answer["errors"], [
                    {"index": index, "field": field, "reason": f"{field} holds a NUL (\\u0000)"}])

    def test_limits(self):
        long_id = event("u" * 257, "i", T0)
        self.assert_problem(self.server.post("/v1/events", long_id), 400, "invalid-event")
        self.assert_problem(self.server.post("/v1/events", [event("u", "i", T0)] * 10001), 413,
                            "too-many-events")
        large = event("u", "i", T0, context="x" * 70000)
        self.assert_problem(self.server.post("/v1/events", large), 400, "invalid-event")
        self.assert_problem(self.server.post("/v1/recommendations", b" " * 70000), 413, "too-large")
        self.assert_problem(self.server.post("/v1/events", b" " * (17 << 20)), 413, "too-large")

    def test_a_body_without_an_announced_length_is_bounded_too(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        connection.request("POST", "/v1/recommendations", iter([b" " * 50000, b" " * 50000]),
                           encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
        self.assertEqual(connection.getresponse().status, 413)
        connection.close()

    def test_a_type_that_is_no_json_is_refused(self):
        self.assert_problem(self.server.post("/v1/events", "<e/>", "text/xml"), 415,
                            "unsupported-media-type")

    def test_a_page_of_another_origin_may_not_write(self):
        body = json.dumps(event("origin", "i", T0))
        answer = self.server.request("POST", "/v1/events", body, {"Origin": "https://evil.example"})
        self.assert_problem(answer, 403, "foreign-origin")
        answer = self.server.request("POST", "/v1/events", body,
                                     {"Origin": "http://localhost:3000"})
        self.assertEqual(answer[0], 202)

    # ------------------------------------------------------------------ paths

    def test_unknown_paths_and_methods(self):
        self.assert_problem(self.server.get("/v2/events"), 404, "not-found")
        self.assert_problem(self.server.get("/v1/users/u/recommendations/x"), 404)
        self.assert_problem(self.server.get("/v1/users//recommendations"), 404)
        answer = self.server.get("/v1/events")
        self.assert_problem(answer, 405, "method-not-allowed")
        self.assertEqual(answer[2]["allow"], "POST")
        answer = self.server.request("DELETE", "/healthz")
        self.assert_problem(answer, 405)
        self.assertEqual(answer[2]["allow"], "GET, HEAD")

    def test_arguments_are_checked(self):
        for query in ("n=0", "n=101", "n=x", "n=", "n=-1", "explain=maybe"):
            self.assert_problem(self.server.get("/v1/users/u/recommendations?" + query), 400,
                                "bad-argument")
        self.assert_problem(self.server.get("/v1/users/%zz/recommendations"), 400, "bad-path")
        self.assert_problem(self.server.get("/v1/users/" + "u" * 257 + "/recommendations"), 400)

    def test_head_is_answered_without_a_body(self):
        status, body, headers = self.server.request("HEAD", "/healthz")
        self.assertEqual((status, body), (200, None))
        self.assertGreater(int(headers["content-length"]), 0)

    def test_ids_are_percent_decoded(self):
        user = "a/b c%ü"
        self.server.post("/v1/events", event(user, "slash", T0))
        path = "/v1/users/a%2Fb%20c%25%C3%BC/recommendations"
        self.server.wait_until(lambda: "session" in self.server.get(path)[1], "the session")
        self.assertEqual(self.server.get(path)[1]["user_id"], user)

    def test_the_api_describes_itself(self):
        status, text, headers = self.server.get("/openapi.yaml")
        self.assertEqual((status, headers["content-type"]), (200, "application/yaml"))
        for path in (b"/v1/events:", b"/v1/recommendations:", b"/readyz:"):
            self.assertIn(path, text)
        self.assertEqual(self.server.get("/")[0], 200)
        self.assertEqual(self.server.get("/healthz")[1], {"status": "alive"})
        self.assertEqual(self.server.get("/readyz")[1], {"status": "ready"})

    # ------------------------------------------------------------------ connections

    def test_200_requests_take_one_connection(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        connection.connect()
        first = connection.sock
        for number in range(200):
            path, method, body = [("/healthz", "GET", None), ("/nope", "GET", None),
                                  ("/v1/recommendations", "POST", '{"items":["a"]}'),
                                  ("/v1/events", "POST",
                                   json.dumps(event("keep", str(number), T0)))][number % 4]
            connection.request(method, path, body)
            answer = connection.getresponse()
            answer.read()
            self.assertIs(connection.sock, first, f"request {number} closed the connection")
        connection.close()

    def test_several_requests_at_once_on_a_connection_are_answered_in_order(self):
        with socket.create_connection(("127.0.0.1", self.server.port)) as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3 +
                         b"GET /nope HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            data = b""
            while chunk := sock.recv(65536):
                data += chunk
        self.assertEqual(data.count(b"HTTP/1.1 200"), 3)
        self.assertEqual(data.count(b"HTTP/1.1 404"), 1)

    # ------------------------------------------------------------------ stateless recommendations

    def test_the_session_in_the_body_is_checked(self):
        for body in ("", "[]", "{}", '{"items":1}', '{"items":[{}]}', '{"items":[""]}',
                     '{"items":["a"],"n":0}', '{"items":["a"],"n":"5"}',
                     '{"items":["a"],"explain":1}', '{"items":[1.5e400]}',
                     json.dumps({"items": ["a"] * 201})):
            self.assert_problem(self.server.post("/v1/recommendations", body), 400,
                                "malformed-body")
        for body in ({"items": []}, {"items": ["a", 7, {"item_id": "b"}], "n": 3, "explain": True,
                                     "category": "c"}):
            self.assertEqual(self.server.post("/v1/recommendations", body)[0], 200)


class Recommendations(unittest.TestCase):
    """A shop of its own for each test."""

    def setUp(self):
        self.server = recommender.Server(flags=["--debug-endpoints"])
        self.server.start()
        self.addCleanup(self.server.__exit__)

    def send(self, events):
        status, body, _ = self.server.post("/v1/events", events)
        self.assertEqual((status, body["rejected"]), (202, 0))

    def teach(self, sessions, start_ms=T0):
        """Each list of items is the session of a new user; later events close them all."""
        self.send([event(f"u{n}", item, start_ms + n * 1000 + i * 10, category="shop")
                   for n, items in enumerate(sessions) for i, item in enumerate(items)])
        # an hour later, a user in each of the four partitions moves time on
        self.send([event(f"later{n}", "later", start_ms + 60 * MINUTE) for n in range(40)])
        name = "leat_recommender_index_sessions_counted"
        self.server.wait_until(lambda: self.server.metrics()[name] >= len(sessions),
                               "closed sessions")

    def test_nobody_gets_an_empty_list_once_an_item_is_known(self):
        self.assertEqual(self.server.get("/v1/users/nobody/recommendations")[1]["items"], [])
        self.send(event("first", "only", T0))
        self.server.wait_until(lambda: self.server.get("/v1/trending")[1]["items"], "the item")
        for path in ("/v1/users/nobody/recommendations", "/v1/users/first/recommendations",
                     "/v1/items/only/similar", "/v1/items/unknown/similar"):
            self.assertEqual(items_of(self.server.get(path)[1]), ["only"], path)
        for items in ([], ["only"], ["unknown"]):
            self.assertEqual(items_of(self.server.post("/v1/recommendations", {"items": items})[1]),
                             ["only"])

    def test_what_others_looked_at_next_is_recommended(self):
        self.teach([["a", "b", "c"], ["a", "b"], ["a", "b"], ["x", "y"]] + [["p", "q"]] * 9)
        answer = self.server.post("/v1/recommendations",
                                  {"items": ["a"], "n": 2, "explain": True})[1]
        self.assertEqual(items_of(answer), ["b", "c"])
        first = answer["items"][0]
        self.assertEqual((first["source"], first["reasons"][0]["item_id"],
                          first["reasons"][0]["sessions"]),
                         ("sessions", "a", 3))
        self.assertGreater(first["score"], answer["items"][1]["score"])
        similar = self.server.get("/v1/items/x/similar?n=1")[1]
        self.assertEqual((items_of(similar), similar["sessions"]), (["y"], 1))

    def test_a_users_session_is_what_was_committed(self):
        self.teach([["a", "b"], ["a", "b"], ["x", "y"]])
        now = T0 + 61 * MINUTE
        self.send([event("ann", "x", now, session_id="s1"),
                   event("ann", "a", now + 1, session_id="s1")])
        path = "/v1/users/ann/recommendations?explain=1&n=3"
        answer = self.server.wait_until(
            lambda: next((a for a in (self.server.get(path)[1],)
                          if a.get("session", {}).get("events") == 2), None), "ann")
        self.assertEqual(answer["session"]["items"], ["x", "a"])
        self.assertEqual(answer["session"]["session_id"], "s1")
        self.assertEqual(answer["items"][0]["item_id"], "b")
        unseen = items_of(self.server.get("/v1/users/ann/recommendations?exclude_seen=1")[1])
        self.assertNotIn("x", unseen)
        self.assertNotIn("a", unseen)

    def test_the_list_is_filled_up_with_popular_items_below_the_others(self):
        self.teach([["a", "b"], ["p", "q"], ["p", "q"]])
        items = self.server.post("/v1/recommendations", {"items": ["a"], "n": 4})[1]["items"]
        self.assertEqual(items[0]["item_id"], "b")
        self.assertEqual({i["source"] for i in items[1:]}, {"popular"})
        scores = [i["score"] for i in items]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertEqual(len(set(items_of({"items": items}))), 4)
        in_category = self.server.post("/v1/recommendations",
                                       {"items": ["zzz"], "category": "shop", "n": 2})[1]
        self.assertEqual({i["source"] for i in in_category["items"]}, {"category"})

    def test_trending_items_by_category(self):
        self.send([event("u", "shoe", T0, category="shoes", event_type="purchase"),
                   event("v", "book", T0, category="books", event_type="view"),
                   event("w", "book", T0, category="books", event_type="view")])
        self.server.wait_processed(3)
        get = lambda query: self.server.get("/v1/trending?" + query)[1]
        self.server.wait_until(lambda: len(get("")["items"]) == 2, "both items")
        # one purchase weighs more than two views
        self.assertEqual(items_of(get("")), ["shoe", "book"])
        self.assertEqual(items_of(get("category=books")), ["book"])
        self.assertEqual(items_of(get("n=1")), ["shoe"])
        self.assertEqual(get("category=none")["items"], [])

    def test_a_repeated_event_counts_once(self):
        events = [event("ann", f"i{n}", T0 + n, event_id=f"e{n}") for n in range(150)]
        for _ in range(3):
            self.send(events)
        self.send(event("ann", "end", T0 + 1000))
        self.server.wait_processed(151)
        session = self.server.get("/v1/users/ann/recommendations")[1]["session"]
        self.assertEqual(session["events"], 151)
        duplicates = 'leat_recommender_interactions_total{result="duplicate"}'
        self.assertEqual(self.server.metrics()[duplicates], 300)

    def test_late_and_bad_events_go_to_their_topics(self):
        self.send(event("ann", "a", T0))
        self.server.wait_processed(1)
        self.send([event("ann", "just in time", T0 - 10 * MINUTE, event_id="e1"),
                   event("ann", "too late", T0 - 10 * MINUTE - 1, event_id="e2")])
        self.server.wait_processed(2)
        self.assertEqual(self.server.stop(), 0)
        late = recommender.consume(self.server.data_dir, "late-events")
        self.assertEqual([(e["item_id"], e["event_id"]) for e in late], [("too late", "e2")])

    # ------------------------------------------------------------------ time (W7)

    def late(self, reason):
        return self.server.metrics()[f'leat_recommender_late_total{{reason="{reason}"}}']

    def test_an_event_ahead_of_the_clock_is_refused_and_makes_no_other_late(self):
        now = int(time.time() * 1000)
        status, body, _ = self.server.post("/v1/events", [
            event("fast", "x", now + 23 * 60 * MINUTE), event("fast", "x", now + 4 * MINUTE),
            event("unit", "x", now * 1000), event("ann", "a", now - 4 * MINUTE)])
        self.assertEqual((status, body["accepted"], body["rejected"]), (202, 2, 2))
        self.assertEqual([(e["index"], e["field"]) for e in body["errors"]],
                         [(0, "timestamp"), (2, "timestamp")])
        self.assertIn("ahead of the server's clock, at most 5.0", body["errors"][0]["reason"])
        self.send([event(f"u{n}", "b", now - 4 * MINUTE, event_id=f"e{n}") for n in range(200)])
        self.server.wait_processed(202)
        self.assertEqual(self.late("behind_watermark"), 0)
        self.assertEqual(self.late("ahead_of_clock"), 1) # the other one is no time at all
        self.assertLess(self.server.metrics()["leat_watermark_lead_seconds"], 1)

    def test_one_that_comes_by_the_log_is_a_dead_letter_and_makes_no_other_late(self):
        now = int(time.time() * 1000)
        self.assertEqual(self.server.stop(), 0)
        lines = [event("u1", "x", now + 23 * 60 * MINUTE), event("u1", "a", now - 9 * MINUTE)]
        recommender.produce(self.server.data_dir, "user-interactions", lines, "user_id")
        self.server.start()
        self.server.wait_processed(1)
        self.assertEqual(self.late("behind_watermark"), 0)
        self.assertEqual(self.late("ahead_of_clock"), 1)
        self.assertEqual(self.server.stop(), 0)
        dead, = recommender.consume(self.server.data_dir, "dead-letters")
        self.assertIn("ahead of the clock", dead["reason"])

    def test_an_event_ahead_of_the_clock_may_happen_now(self):
        self.server.flags.append("--clamp-ahead")
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        now = int(time.time() * 1000)
        status, body, _ = self.server.post("/v1/events", [
            event("fast", "x", now + 23 * 60 * MINUTE), event("ann", "a", now - 9 * MINUTE)])
        self.assertEqual((status, body), (202, {"accepted": 2, "rejected": 0, "clamped": 1}))
        self.server.wait_processed(2)
        self.assertEqual((self.late("behind_watermark"), self.late("clamped_to_clock")), (0, 1))
        self.assertEqual(self.server.stop(), 0)
        out = recommender.consume(self.server.data_dir, "recommendations")
        fast, = (r["timestamp_ms"] for r in out if r["user_id"] == "fast")
        self.assertLess(abs(fast - now), MINUTE)

    def test_who_sends_late_events_is_told(self):
        self.send(event("ann", "a", T0))
        self.server.wait_processed(1)
        answer = lambda: self.server.post("/v1/events", [
            event("ann", "b", T0), event("ann", "c", T0 - 10 * MINUTE - 1),
            event("ann", "d", T0 - 10 * MINUTE)])[:2]
        self.assertEqual(answer(), (202, {"accepted": 3, "rejected": 0, "late": 1,
                                          "late_indexes": [1]}))
        self.server.wait_until(lambda: self.late("behind_watermark") == 1, "the late one")

    def test_a_session_ends_by_silence_and_by_another_session_id(self):
        self.send([event("ann", "a", T0), event("ann", "b", T0 + 30 * MINUTE),
                   event("ann", "c", T0 + 61 * MINUTE),
                   event("bob", "x", T0 + 61 * MINUTE, session_id="s1"),
                   event("bob", "y", T0 + 61 * MINUTE + 1, session_id="s1"),
                   event("bob", "z", T0 + 61 * MINUTE + 2, session_id="s2")])
        self.server.wait_processed(6)
        self.assertEqual(self.server.stop(), 0)
        sessions = recommender.consume(self.server.data_dir, "sessions")
        got = sorted((s["user_id"], s["items"], s["last_ms"] - T0) for s in sessions)
        self.assertEqual(got,
                         [("ann", ["a", "b"], 30 * MINUTE), ("bob", ["x", "y"], 61 * MINUTE + 1)])

    def test_each_interaction_gives_one_recommendation(self):
        self.send([event(f"u{n % 3}", f"i{n}", T0 + n, event_id=f"e{n}") for n in range(30)])
        self.server.wait_processed(30)
        self.assertEqual(self.server.stop(), 0)
        out = recommender.consume(self.server.data_dir, "recommendations")
        self.assertEqual(sorted(r["event_id"] for r in out), sorted(f"e{n}" for n in range(30)))
        for user in ("u0", "u1", "u2"):
            self.assertEqual([r["session_event"] for r in out if r["user_id"] == user],
                             list(range(1, 11)))

    def test_the_live_index_equals_a_build_from_the_log(self):
        self.teach([[f"i{n % 7}", f"i{n % 5}", f"i{n % 3}"] for n in range(60)])
        def equal():
            live = self.server.get("/v1/debug/index")[1]
            return live == recommender.index_of_log(self.server.data_dir) and live
        self.assertGreater(len(self.server.wait_until(equal, "equal indexes")), 1000)
        self.assertEqual(self.server.metrics()["leat_table_lag_records"], 0)


if __name__ == "__main__":
    recommender.main()
