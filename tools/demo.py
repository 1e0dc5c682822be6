"""The demo behind tools/demo.sh: a server of its own in a temporary folder, a month of real clicks,
then held-out ones as live traffic, and what came of it."""
import ctypes
import ctypes.util
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

BIN = os.environ["LEAT_BIN_DIR"]
DATA = "data/serenade_bolcom_example"
BEST = 20
EXAMPLES = 4
RATE = 1000           # live events per second
LIVE_SECONDS = 6
CONNECTIONS = 16
START_SECONDS = 20    # longer is a failure
LATENCY = "leat_recommender_accepted_to_committed_seconds"
PROBLEMS = []


class DemoError(Exception):
    """One sentence: what went wrong."""


# ---------------------------------------------------------------- telling

def heading(text):
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{text}{plain}\n{'-' * len(text)}", flush=True)


def say(text=""):
    print(f"  {text}" if text else "", flush=True)


# ---------------------------------------------------------------- the clicks

def unpack(path):
    """zstd through the library that the build needs anyway: not every machine has the program."""
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    library.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    library.ZSTD_decompress.restype = ctypes.c_size_t
    with open(path, "rb") as file:
        packed = file.read()
    size = library.ZSTD_getFrameContentSize(packed, ctypes.c_size_t(len(packed)))
    out = ctypes.create_string_buffer(size)
    done = library.ZSTD_decompress(out, ctypes.c_size_t(size), packed, ctypes.c_size_t(len(packed)))
    if done != size:
        raise DemoError(f"{path} does not unpack")
    return out.raw.decode()


def clicks_of(name):
    """[(time in seconds, session, item)] in the order in which they happened"""
    rows = [line.split("\t") for line in unpack(f"{DATA}/{name}.txt.zst").splitlines()[1:]]
    return sorted((float(when), session, item) for session, item, when in rows)


# ---------------------------------------------------------------- the server

class Server:
    """leat-recommender serve on a free port; ends with the demo, whatever happens."""

    def __init__(self, folder):
        self.data_dir = os.path.join(folder, "data")
        self.errors = open(os.path.join(folder, "server.log"), "w+", encoding="utf-8")
        started = time.monotonic()
        self.process = subprocess.Popen(
            [f"{BIN}/leat-recommender", "serve", "--data-dir", self.data_dir,
             "--listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=self.errors, text=True)
        watchdog = threading.Timer(START_SECONDS, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline() # empty when it has ended
        watchdog.cancel()
        found = re.match(r"ready http://127\.0\.0\.1:(\d+)", line)
        if not found:
            self.stop()
            raise DemoError(f"the server did not start: {line}{self.log()}")
        self.port = int(found.group(1))
        self.start_ms = (time.monotonic() - started) * 1000

    def log(self):
        self.errors.seek(0)
        return self.errors.read().strip()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, method, path, body=None):
        connection = self.connect()
        connection.request(method, path, body and json.dumps(body),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.status >= 300:
            raise DemoError(f"{method} {path} answered {answer.status}: {text}")
        return text

    def metrics(self):
        """{"name{labels}": value}"""
        found = {}
        for line in self.ask("GET", "/metrics").splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                found[name] = float(value)
        return found

    def wait_until_read(self, seconds=30):
        """Until the job has committed everything that was accepted."""
        until = time.monotonic() + seconds
        while self.metrics()["leat_backlog_records"] > 0:
            if time.monotonic() > until:
                raise DemoError("the job does not get through the events: " + self.log())
            time.sleep(0.02)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "none within 20 s"

    def close(self):
        self.stop()
        self.process.stdout.close()
        self.errors.close()


# ---------------------------------------------------------------- steps

def learn(server):
    clicks = clicks_of("train")
    sessions = len({session for _, session, _ in clicks})
    heading(f"1. A month of clicks: {len(clicks):,} clicks, {sessions:,} sessions of a web shop")
    say(f"The server started in {server.start_ms:.0f} ms; it knows nothing yet.")
    started = time.monotonic()
    done = subprocess.run(
        [f"{BIN}/leat-recommender", "replay", f"{DATA}/train.txt.zst",
         "--to", f"http://127.0.0.1:{server.port}"],
        stdout=subprocess.PIPE, text=True, check=False) # stderr: its progress bar
    if done.returncode != 0:
        raise DemoError(f"replay ended with {done.returncode}")
    server.wait_until_read()
    seconds = time.monotonic() - started
    metrics = server.metrics()
    rate = len(clicks) / seconds
    say(f"{len(clicks):,} events in {seconds:.1f} s = {rate:,.0f} events/s: each on the disk,"
        " in its user's session,")
    say("answered with a recommendation, and learnt from when its session closed.")
    say(f"Index now: {metrics['leat_recommender_index_sessions']:,.0f} sessions,"
        f" {metrics['leat_recommender_index_items']:,.0f} items,"
        f" {metrics['leat_recommender_index_bytes'] / 1e6:.1f} MB.")
    return len(clicks)


def why(item):
    reasons = item.get("reasons", [])
    if not reasons:
        return f"popular ({item['source']})"
    return "in " + ", ".join(f"{reason['sessions']} like it with {reason['item_id']}"
                             for reason in reasons[:2])


def show_session(server, items, following):
    answer = json.loads(server.ask("POST", "/v1/recommendations",
                                   {"items": items, "n": BEST, "explain": True}))
    best = answer["items"]
    if not best:
        raise DemoError(f"no recommendation for {items}")
    say(f"Somebody looked at {' -> '.join(items)}")
    for place, item in enumerate(best[:3], 1):
        say(f"  {place}. item {item['item_id']:<7} score {item['score']:7.3f}   {why(item)}")
    names = [item["item_id"] for item in best]
    place = f"place {names.index(following) + 1}" if following in names else f"not among the {BEST}"
    say(f"  Next was in truth {following}: {place}.\n")


def show_examples(server, held_out):
    heading("2. What it recommends, and why")
    say(f"The first {EXAMPLES} sessions of a later day that begin with 4 different clicks.")
    say("'In 7 like it with X': so many of the similar sessions that share X have the item too.\n")
    sessions = {}
    for _, session, item in held_out:
        sessions.setdefault(session, []).append(item)
    varied = [items for items in sessions.values() if len(items) > 3 and len(set(items[:4])) == 4]
    for items in varied[:EXAMPLES]:
        show_session(server, items[:3], items[3])


def show_quality():
    heading("3. How good that is: all held-out clicks, predicted one by one")
    done = subprocess.run(
        [f"{BIN}/leat-recommender", "evaluate", f"{DATA}/train.txt.zst", f"{DATA}/test.txt.zst"],
        capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"evaluate ended with {done.returncode}: {done.stderr}")
    for line in done.stdout.rstrip().splitlines():
        say(line)
    say()
    say(f"HR@{BEST}: how often the next click was among the {BEST}. MRR: mean of 1 / its place.")


# ---------------------------------------------------------------- live traffic

def live_events(held_out):
    """The held-out clicks, 1 ms after one another, over and over by other users."""
    events, turn = [], 0
    start_ms = int(held_out[-1][0] * 1000)
    while len(events) < RATE * LIVE_SECONDS:
        for _, session, item in held_out:
            events.append(json.dumps({
                "event_id": f"live-{len(events)}", "user_id": f"live-{session}-{turn}",
                "item_id": item, "event_type": "click",
                "timestamp_ms": start_ms + len(events) * 1000 // RATE}).encode())
        turn += 1
    return events[:RATE * LIVE_SECONDS]


def send_share(server, events, start, first, latencies):
    """Open loop: an event is due at its time however slow the answers are."""
    try:
        connection = server.connect()
        for number in range(first, len(events), CONNECTIONS):
            due = start + number / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            connection.request("POST", "/v1/events", events[number],
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 202:
                raise DemoError(f"POST /v1/events answered {answer.status}: {text.decode()}")
            latencies.append(time.monotonic() - due)
        connection.close()
    except (DemoError, OSError, http.client.HTTPException) as error:
        PROBLEMS.append(str(error))


def quantile_ms(before, after, quantile):
    """Of what a histogram took in between two readings, interpolated within its bucket."""
    bounds = []
    for name in after:
        found = re.fullmatch(LATENCY + r'_bucket\{le="([^"]+)"\}', name)
        if found:
            bounds.append((float(found.group(1)), after[name] - before.get(name, 0)))
    bounds.sort()
    wanted = quantile * bounds[-1][1]
    low_bound, low_count = 0.0, 0.0
    for bound, count in bounds:
        if count >= wanted and count > low_count:
            if bound == float("inf"):
                return low_bound * 1000
            part = (wanted - low_count) / (count - low_count)
            return (low_bound + (bound - low_bound) * part) * 1000
        low_bound, low_count = bound, count
    return low_bound * 1000


def show_live(server, held_out):
    heading(f"4. Live: {RATE:,} events a second for {LIVE_SECONDS} s, one request each")
    events = live_events(held_out)
    before = server.metrics()
    latencies = []
    start = time.monotonic() + 0.1
    threads = [threading.Thread(target=send_share, args=(server, events, start, i, latencies))
               for i in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - start
    if PROBLEMS:
        raise DemoError(PROBLEMS[0])
    server.wait_until_read()
    after = server.metrics()
    latencies.sort()
    committed = after[LATENCY + "_count"] - before[LATENCY + "_count"]
    say(f"{len(events):,} sent, {len(latencies):,} accepted (on the disk), {committed:,.0f}"
        f" recommendations committed, {len(events) / seconds:,.0f}/s")
    say()
    say("                                                p50       p95       p99")
    rows = (("event accepted -> recommendation committed",
             [quantile_ms(before, after, q) for q in (.5, .95, .99)]),
            ("event due -> 202 answered (seen by the client)",
             [latencies[int(q * len(latencies))] * 1000 for q in (.5, .95, .99)]))
    for name, values in rows:
        say(f"{name:<46}" + "".join(f"{value:7.1f} ms" for value in values))
    say()
    cpu = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    say(f"CPU of the server meanwhile {100 * cpu / seconds:.0f} % of a core;"
        f" memory {after['process_resident_memory_bytes'] / 2**20:.0f} MiB resident.")
    return len(events)


# ---------------------------------------------------------------- the reckoning

def topic_records(server):
    done = subprocess.run([f"{BIN}/leat", "topics", "--log", f"embedded:{server.data_dir}/log",
                           "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"leat topics ended with {done.returncode}: {done.stderr}")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["topic"]: row["appended"] for row in rows}


def folder_bytes(folder):
    return sum(os.path.getsize(os.path.join(where, name))
               for where, _, names in os.walk(folder) for name in names)


def reckon(server, sent):
    heading("5. Exactly once")
    status = server.stop()
    if status != 0:
        raise DemoError(f"the server ended with {status}: {server.log()}")
    records = topic_records(server)
    out = records["recommendations"] + records["late-events"]
    say(f"{sent:,} events sent = {records['recommendations']:,} recommendations"
        f" + {records['late-events']:,} late events.")
    if sent != records["user-interactions"] or sent != out:
        raise DemoError(f"events and recommendations do not add up: {records}")
    say(f"The server ended cleanly. Everything was in one folder of"
        f" {folder_bytes(server.data_dir) / 2**20:.0f} MiB; it is removed now.")


def where_next():
    heading("Where to look next")
    say("build/release/bin/leat-recommender serve --data-dir shop    your own server, then")
    say("docs/guide/recommender.md                                   talk to it with curl")
    say("docs/guide/getting-started.md                               a job of your own, in C")
    say("ARCHITECTURE.md                                             one event through the files")
    say("tests/crash                                                 the same under kill -9")


def on_signal(number, _frame):
    raise SystemExit(128 + number)


def main():
    signal.signal(signal.SIGTERM, on_signal)
    started = time.monotonic()
    folder = tempfile.mkdtemp(prefix="leat-demo-")
    server = None
    try:
        server = Server(folder)
        held_out = clicks_of("test")
        sent = learn(server)
        show_examples(server, held_out)
        show_quality()
        sent += show_live(server, held_out)
        reckon(server, sent)
        where_next()
        print(f"\ndemo: ok, {time.monotonic() - started:.0f} s", flush=True)
        return 0
    except (DemoError, OSError, KeyError, ValueError) as error:
        print(f"demo: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if server:
            server.close()
        shutil.rmtree(folder, ignore_errors=True)


sys.exit(main())
