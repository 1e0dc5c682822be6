"""A process goes away inside a transaction, on a broker that looks for open transactions as seldom
as Kafka does by itself: the other one ends it, and goes on soon after the session is over.

    job a ──► proxy ──► broker      SIGKILL at EndTxn, which never arrives: offsets are held
    job b ─────────────► │          SIGKILL at TxnOffsetCommit: records are held, offsets are not
                                    SIGSTOP at EndTxn, which arrives after b has taken over

The broker itself would end nothing before TRANSACTION_TIMEOUT_S: who is faster has fenced.
"""
import os
import random
import signal
import sys
import tempfile
import shutil
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "support"))
sys.path.insert(0, HERE)

import job  # noqa: E402
import kafka_proxy  # noqa: E402
import tool  # noqa: E402
import world as worlds  # noqa: E402

SESSION_S = 6
LIMIT_S = worlds.TRANSACTION_TIMEOUT_S if not tool.SANITIZED else 60
SETTINGS = {key: value for key, value in worlds.BROKER_SETTINGS.items()
            if not key.startswith("transaction.")}


class Signal(kafka_proxy.Rule):
    """A signal for the job at the moment of a request, which arrives after delay_ms, or never."""

    def __init__(self, api, pid, number, delay_ms=0):
        super().__init__(api, "hold_request" if delay_ms else "drop_request", delay_ms, nth=5)
        self.pid, self.number, self.sent_s = pid, number, None

    def takes(self, request):
        chosen = super().takes(request)
        if chosen:
            os.kill(self.pid, self.number)
            self.sent_s = time.monotonic()
        return chosen


def hit(world, proxy, rule):
    """Returns when it happened."""
    proxy.add(rule)
    until = time.monotonic() + 20 * worlds.SLOWER
    while rule.sent_s is None:
        if time.monotonic() > until:
            raise tool.Failed(f"the job sent no request {rule.api} for the rule")
        world.check_processes()
        time.sleep(0.01)
    return rule.sent_s


def taken_over(world, began_s):
    """All that was sent has been worked off, so by b; how long that took."""
    world.settle()
    took_s = time.monotonic() - began_s
    if took_s > LIMIT_S:
        raise tool.Failed(f"taken over after {took_s:.1f} s: {world.state_of_jobs()}")
    return took_s


def both_at_work(world):
    """Load again; a new member has been given its partitions by then."""
    world.loader.rate(world.rate)
    world.wait_for_progress(more=20)
    time.sleep(2 * worlds.SLOWER)
    world.wait_for_progress(more=20)


def kill(world, proxy, api):
    a = world.jobs["a"]
    a.leave_alone()
    took_s = taken_over(world, hit(world, proxy, Signal(api, a.pid, signal.SIGKILL)))
    a.end()
    proxy.clear()
    print(f"  SIGKILL at {api}: taken over after {took_s:.1f} s, "
          f"{world.check_settled()} outputs right", flush=True)
    a.up()
    both_at_work(world)


def pause(world, proxy):
    """What the sleeper had sent arrives after the takeover; then it wakes up."""
    a = world.jobs["a"]
    lives = len(a.exits)
    rule = Signal("EndTxn", a.pid, signal.SIGSTOP, delay_ms=(LIMIT_S + 2) * 1000)
    try:
        began_s = hit(world, proxy, rule)
        took_s = taken_over(world, began_s)
        count = world.check_settled()
        time.sleep(max(0, began_s + LIMIT_S + 3 - time.monotonic()))
    finally:
        a.resume()
    proxy.clear()
    both_at_work(world)
    codes = [code for code, _ in a.exits[lives:]]
    if any(code not in job.RESTARTED for code in codes):
        raise tool.Failed(f"the sleeper ended with {codes}: {a.log_path}")
    print(f"  SIGSTOP at EndTxn: taken over after {took_s:.1f} s, {count} outputs right; woken, "
          f"{f'it ended with {codes} and was started again' if codes else 'it joined again'}, "
          f"{world.check_settled()} outputs right", flush=True)


def play(world, proxied):
    world.add()
    world.log = world.log.replace(proxied.bootstrap, proxied.broker.bootstrap)
    world.add()
    both_at_work(world)
    kill(world, proxied.proxy, "EndTxn")
    kill(world, proxied.proxy, "TxnOffsetCommit")
    pause(world, proxied.proxy)
    world.prove_state()


def main():
    seed = int(os.environ.get("LEAT_CRASH_SEED", "0")) or int.from_bytes(os.urandom(3), "big")
    folder = tempfile.mkdtemp(prefix="leat-takeover-")
    print(f"seed {seed}", flush=True)
    with kafka_proxy.ProxiedBroker(settings=SETTINGS) as proxied:
        world = worlds.World(proxied.broker, folder, "takeover", seed, users=50,
                             rate=200 // (4 if tool.SANITIZED else 1), listen=proxied.bootstrap,
                             memory_only=random.Random(seed).random() < 0.5,
                             options={"session.timeout.ms": SESSION_S * 1000 * worlds.SLOWER,
                                      "heartbeat.interval.ms": 1000})
        try:
            play(world, proxied)
        except BaseException as problem:
            print(f"{world.evidence(problem)}\nkept for a look: {folder}", flush=True)
            raise
        finally:
            proxied.proxy.clear()
            world.close()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
