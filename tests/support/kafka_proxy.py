#!/usr/bin/env python3
"""A proxy between Kafka clients and brokers that holds, drops, delays or repeats single requests.

    client ──► :P ─┬─ requests ──► rules ──► broker's PROXY listener, which advertises
                   └─ answers  ◄── rules ◄── :P, so that clients come back here

What it can do to a request that a rule names, and its answer:

    hold_request MS    forwards it MS later; what follows on that connection waits too
    hold_response MS   forwards the answer MS later
    drop_request       closes the client's connection, the broker never sees the request
    drop_response      the broker does the work, the client's connection is closed without an answer
    duplicate MS       forwards it, and MS later a copy on a connection of its own
    late MS            closes the client's connection; the request reaches the broker MS later
    refuse CODE        the broker never sees the request, the client gets this error (OffsetFetch,
                       ListOffsets, TxnOffsetCommit)

`late` is the case of rule R1 (docs/exactly-once.md): a client that got no answer sends again on a
new connection, and the first copy arrives after the second.  Answers to copies are noted.

    with kafka_proxy.ProxiedBroker() as proxied:
        proxied.proxy.rule("EndTxn", "late", 500, nth=1)
        ... a client of proxied.bootstrap ...
        proxied.proxy.wait_for("arrived late")

From a shell, with rules also taken line by line from stdin (`clear`, `cut`, `pause`, `resume`):

    kafka_proxy.py --listen 9999 --to 127.0.0.1:9092 --rule "EndTxn late 500 nth=1"
"""
import argparse
import asyncio
import contextlib
import json
import os
import random
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import kafka  # noqa: E402
import kafka_wire  # noqa: E402

APIS = {"Produce": 0, "Fetch": 1, "ListOffsets": 2, "Metadata": 3, "OffsetCommit": 8,
        "OffsetFetch": 9, "FindCoordinator": 10, "JoinGroup": 11, "Heartbeat": 12, "LeaveGroup": 13,
        "SyncGroup": 14, "ApiVersions": 18, "CreateTopics": 19, "InitProducerId": 22,
        "AddPartitionsToTxn": 24, "AddOffsetsToTxn": 25, "EndTxn": 26, "TxnOffsetCommit": 28}
NAMES = {key: name for name, key in APIS.items()}
TIMED = {"hold_request", "hold_response", "duplicate", "late"}
NUMBERED = TIMED | {"refuse"}
ACTIONS = NUMBERED | {"drop_request", "drop_response"}
EVENTS_KEPT = 100_000


NO_TAGS, NOTHING = b"\0", b"\x01"  # how messages of the newer formats end; an empty list


def count(length):
    """How a short text or list of the newer formats begins."""
    return bytes([length + 1])


class Request:
    """A frame from a client, with as much of its header as rules need."""

    def __init__(self, frame):
        self.frame = frame
        self.api, self.version, self.correlation, length = struct.unpack_from(">hhih", frame)
        self.client = frame[10:10 + length].decode(errors="replace") if length > 0 else ""

    @property
    def name(self):
        return NAMES.get(self.api, str(self.api))

    def refusal(self, code):
        """The frame of an answer that has this error and nothing else."""
        bodies = {("OffsetFetch", 9): self.without_offsets, ("ListOffsets", 7): self.without_bounds,
                  ("TxnOffsetCommit", 3): self.without_commits}
        body = bodies.get((self.name, self.version))
        if body is None:
            raise ValueError(f"no refusal of {self.name}, version {self.version}, is known here")
        throttle = bytes(4)
        return struct.pack(">i", self.correlation) + NO_TAGS + throttle + body(code) + NO_TAGS

    def without_offsets(self, code):
        group, topics = NOTHING, NOTHING
        return count(1) + group + topics + struct.pack(">h", code) + NO_TAGS

    def without_commits(self, code):
        """Of the partitions whose offsets were to be committed."""
        reader = kafka_wire.Reader(self.frame)
        reader.bytes(10 + len(self.client) + 1)
        for _ in range(2):  # transactional id, group
            reader.bytes(reader.compact() - 1)
        reader.take("qhi")  # producer, its epoch, generation
        for _ in range(2):  # member, instance
            reader.bytes(max(reader.compact() - 1, 0))
        body, topics = b"", reader.compact() - 1
        for _ in range(topics):
            name = reader.bytes(reader.compact() - 1)
            partitions = b""
            for _ in range(found := reader.compact() - 1):
                partition, _, _ = reader.take("iqi")
                reader.bytes(max(reader.compact() - 1, 0))
                reader.take("B")
                partitions += struct.pack(">ih", partition, code) + NO_TAGS
            reader.take("B")
            body += count(len(name)) + name + count(found) + partitions + NO_TAGS
        return count(topics) + body

    def without_bounds(self, code):
        """Of the partitions that were asked for."""
        reader = kafka_wire.Reader(self.frame)
        reader.bytes(10 + len(self.client) + 1 + 4 + 1)  # header, replica, isolation
        body, topics = b"", reader.compact() - 1
        for _ in range(topics):
            name = reader.bytes(reader.compact() - 1)
            partitions = b""
            for _ in range(found := reader.compact() - 1):
                partition, _, _, _ = reader.take("iiqB")
                partitions += struct.pack(">ihqqi", partition, code, -1, -1, -1) + NO_TAGS
            reader.take("B")
            body += count(len(name)) + name + count(found) + partitions + NO_TAGS
        return count(topics) + body

class Rule:
    """`api`: a name or key, or None for all.  `number`: MS or CODE of the action.  `nth`: which of
    the matching requests, counted from 1 over all connections.  Otherwise each with `probability`,
    drawn from `seed`."""

    def __init__(self, api, action, number=0, nth=None, probability=1.0, seed=1, client=None):
        if action not in ACTIONS:
            raise ValueError(f"'{action}' is none of {', '.join(sorted(ACTIONS))}")
        if (action in NUMBERED) != (number > 0):
            raise ValueError(f"{action}: a number is {'needed' if number == 0 else 'unused'}")
        if isinstance(api, str) and api not in APIS and not api.isdigit():
            raise ValueError(f"'{api}' is none of {', '.join(APIS)}, nor a number")
        self.api = None if api is None else APIS.get(api, None) if api in APIS else int(api)
        self.action, self.number = action, number
        self.nth = {nth} if isinstance(nth, int) else nth and set(nth)
        self.probability, self.random, self.client = probability, random.Random(seed), client
        self.seen = self.applied = 0

    @staticmethod
    def parse(text):
        """`EndTxn late 500 nth=1,3`, `Produce drop_response probability=0.01 seed=7`, `* ...`"""
        api, action, *rest = text.split()
        options = dict(part.split("=", 1) for part in rest if "=" in part)
        numbers = [int(part) for part in rest if "=" not in part]
        known = {"nth": lambda value: [int(n) for n in value.split(",")], "probability": float,
                 "seed": int, "client": str}
        if set(options) - set(known) or len(numbers) > 1:
            raise ValueError(f"'{text}' is not: API ACTION [MS or CODE] [nth=1,2] [probability=P] "
                             "[seed=N]")
        return Rule(None if api == "*" else api, action, *numbers,
                    **{key: known[key](value) for key, value in options.items()})

    def takes(self, request):
        if self.api is not None and request.api != self.api:
            return False
        if self.client is not None and self.client not in request.client:
            return False
        self.seen += 1
        chosen = (self.seen in self.nth if self.nth
                  else self.random.random() < self.probability)
        self.applied += chosen
        return chosen


class Link:
    """One client's connection and its own to the broker.  `fates`: what is to happen to answers,
    by correlation id; answers come in order, but acks=0 has none."""

    def __init__(self, proxy, number, target):
        self.proxy, self.number, self.target = proxy, number, target
        self.fates = {}
        self.client = self.broker = None

    async def run(self, reader, writer):
        self.client = writer
        try:
            from_broker, self.broker = await asyncio.open_connection(*self.target)
        except OSError:
            writer.close()
            return
        pumps = [asyncio.ensure_future(self.requests(reader)),
                 asyncio.ensure_future(self.answers(from_broker))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self.close()

    def close(self):
        for writer in (self.client, self.broker):
            if writer is not None:
                writer.close()

    async def requests(self, reader):
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while await self.request(Request(await read_frame(reader))):
                pass

    async def request(self, request):
        """Forwards it or not, as the rules say; False ends the connection."""
        actions = {rule.action: rule.number for rule in self.proxy.rules if rule.takes(request)}
        self.proxy.note(self, request, *sorted(actions) or ["passed"])
        if "late" in actions:
            self.proxy.send_copy(self, request, actions["late"], "late")
            return False
        if "drop_request" in actions:
            return False
        if "refuse" in actions:
            await write_frame(self.client, request.refusal(actions["refuse"]))
            return True
        if "hold_request" in actions:
            await asyncio.sleep(actions["hold_request"] / 1000)
        await self.proxy.open.wait()
        self.fates[request.correlation] = actions
        await write_frame(self.broker, request.frame)
        if "duplicate" in actions:
            self.proxy.send_copy(self, request, actions["duplicate"], "twice")
        return True

    async def answers(self, reader):
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                frame = await read_frame(reader)
                actions = self.fates.pop(struct.unpack_from(">i", frame)[0], {})
                if "drop_response" in actions:
                    return
                if "hold_response" in actions:
                    await asyncio.sleep(actions["hold_response"] / 1000)
                await self.proxy.open.wait()
                await write_frame(self.client, frame)


class Proxy:
    """Listens on `ports`, one for each of `targets` ("host:port").  Its work is done on a thread of
    its own; the methods may be called from any thread."""

    def __init__(self, ports, targets):
        self.ports = list(ports)
        self.targets = [(host, int(port)) for host, port in (t.split(":") for t in targets)]
        self.rules, self.events = [], []
        self.changed = threading.Condition()
        self.links, self.tasks, self.count = set(), set(), 0
        self.began = time.monotonic()
        self.loop = self.open = None
        self.thread = threading.Thread(target=self.work, daemon=True)

    # -- for tests --------------------------------------------------------------------------------

    def __enter__(self):
        ready = threading.Event()
        self.failure = None
        self.ready = ready
        self.thread.start()
        ready.wait()
        if self.failure:
            raise self.failure
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join()

    def rule(self, api, action, number=0, **others):
        """Adds a rule and returns it; see Rule."""
        return self.add(Rule(api, action, number, **others))

    def add(self, rule):
        self.rules = [*self.rules, rule]
        return rule

    def clear(self):
        self.rules = []

    def cut(self):
        """Closes every connection."""
        self.loop.call_soon_threadsafe(lambda: [link.close() for link in list(self.links)])

    def pause(self):
        """Connections stay, nothing passes: a network that is gone."""
        self.loop.call_soon_threadsafe(self.open.clear)

    def resume(self):
        self.loop.call_soon_threadsafe(self.open.set)

    def wait_for(self, what, timeout_s=20, count=1):
        """The first `count` events of that name, as soon as they have happened."""
        def found():
            return [event for event in self.events if event["what"] == what][:count]

        with self.changed:
            if not self.changed.wait_for(lambda: len(found()) == count, timeout_s):
                raise TimeoutError(f"no {count} of '{what}' within {timeout_s} s")
            return found()

    # -- on its own thread ------------------------------------------------------------------------

    def work(self):
        asyncio.run(self.serve())

    async def serve(self):
        self.loop = asyncio.get_running_loop()
        self.ended, self.open = asyncio.Event(), asyncio.Event()
        self.open.set()
        servers = []
        try:
            for port, target in zip(self.ports, self.targets):
                servers.append(await asyncio.start_server(
                    lambda reader, writer, to=target: self.accept(reader, writer, to),
                    "127.0.0.1", port))
        except OSError as error:
            self.failure = error
            self.ended.set()
        self.ready.set()
        await self.ended.wait()
        for server in servers:
            server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def accept(self, reader, writer, target):
        self.count += 1
        link = Link(self, self.count, target)
        self.links.add(link)
        task = asyncio.current_task()
        self.tasks.add(task)
        try:
            await link.run(reader, writer)
        except asyncio.CancelledError:
            pass  # the proxy ends
        finally:
            self.links.discard(link)
            self.tasks.discard(task)

    def send_copy(self, link, request, delay_ms, how):
        task = self.loop.create_task(self.copy(link, request, delay_ms / 1000, how))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def copy(self, link, request, delay_s, how):
        """The request on a connection of its own.  Its answer goes into the event."""
        await asyncio.sleep(delay_s)
        try:
            reader, writer = await asyncio.open_connection(*link.target)
            await write_frame(writer, request.frame)
            answer = await asyncio.wait_for(read_frame(reader), 30)
            writer.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            self.note(link, request, f"lost {how}", error=str(error))
            return
        self.note(link, request, f"arrived {how}", answer=answer[4:].hex())

    def note(self, link, request, *whats, **others):
        with self.changed:
            for what in whats:
                self.events.append({
                    "at_ms": round((time.monotonic() - self.began) * 1000, 1), "what": what,
                    "api": request.name, "version": request.version, "client": request.client,
                    "connection": link.number, "correlation": request.correlation, **others})
            del self.events[:-EVENTS_KEPT]
            self.changed.notify_all()


async def read_frame(reader):
    size, = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


async def write_frame(writer, frame):
    writer.write(struct.pack(">i", len(frame)) + frame)
    await writer.drain()


class ProxiedBroker:
    """A kafka.Broker with a proxy before each of its brokers.  `bootstrap` and `log` lead through
    the proxy, `broker.bootstrap` past it."""

    def __init__(self, brokers=1, **asked):
        self.ports = kafka.kafka_process.free_ports(brokers)
        self.broker = kafka.Broker(brokers=brokers, advertise=self.ports, **asked)
        self.proxy = None

    def __enter__(self):
        self.broker.__enter__()
        try:
            targets = self.broker.bootstrap_of("PROXY").split(",")
            self.proxy = Proxy(self.ports, targets).__enter__()
        except BaseException:
            self.broker.close()
            raise
        return self

    def __exit__(self, *_):
        self.proxy.__exit__()
        self.broker.close()

    @property
    def bootstrap(self):
        return ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def log(self):
        return f"kafka:{self.bootstrap}"


# -- from a shell ---------------------------------------------------------------------------------

def print_events(proxy, all_of_them):
    printed = 0
    while True:
        with proxy.changed:
            proxy.changed.wait_for(lambda: len(proxy.events) > printed)
            new, printed = proxy.events[printed:], len(proxy.events)
        for event in new:
            if all_of_them or event["what"] != "passed":
                print(json.dumps(event), flush=True)


def obey(proxy, line):
    if line in ("clear", "cut", "pause", "resume"):
        getattr(proxy, line)()
    elif line:
        proxy.add(Rule.parse(line))


def rule_option(text):
    try:
        return Rule.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", required=True, metavar="P[,P]", help="ports on 127.0.0.1")
    parser.add_argument("--to", required=True, metavar="HOST:P[,HOST:P]", help="the brokers")
    parser.add_argument("--rule", action="append", default=[], type=rule_option)
    parser.add_argument("--all", action="store_true", help="also print requests that just pass")
    options = parser.parse_args()
    with Proxy(map(int, options.listen.split(",")), options.to.split(",")) as proxy:
        for rule in options.rule:
            proxy.add(rule)
        threading.Thread(target=print_events, args=(proxy, options.all), daemon=True).start()
        for line in sys.stdin:
            try:
                obey(proxy, line.strip())
            except ValueError as error:
                print(f"kafka_proxy: {error}", file=sys.stderr, flush=True)
        threading.Event().wait()  # stdin is closed: until a signal


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
