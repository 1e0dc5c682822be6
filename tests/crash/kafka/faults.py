"""One request of a transaction is lost, repeated or late: a tear is prevented or detected, never
silent.

    job ──► proxy ──► broker     a rule of the proxy hits one request in the middle of the work:
              └ the copy ─►        late   the client gets no answer and sends it again; the first
                                          copy arrives during a later transaction (R1)
                                   lost   before or after the broker did the work
                                   held   perhaps longer than the client waits
                                   kill   the job dies at that request, which is forwarded or not

    prevented   the outputs are right (judge.py)
    detected    the job ends with 84: the seals contradict each other (R2); a job without state
                has none, and is torn never
"""
import os
import random
import shutil
import signal
import time

import job
import kafka_proxy
import tool
import works
import world as worlds
from judge import Violation

APIS = ["EndTxn"] * 6 + ["TxnOffsetCommit"] * 3 + ["Produce"] * 3 + \
    ["AddOffsetsToTxn", "AddPartitionsToTxn", "InitProducerId"]
ACTIONS = ["late"] * 4 + ["kill"] * 3 + \
    ["drop_request", "drop_response", "hold_request", "hold_response"]
CLIENT_WAITS_MS = 1500  # socket.timeout.ms of the job
ROUNDS_PER_WORLD = 12


def fault(rng):
    """(api, action, delay_ms, nth)"""
    api, action = rng.choice(APIS), rng.choice(ACTIONS)
    delay_ms = 0
    if action == "late":
        delay_ms = rng.choice([rng.randint(1, 30), rng.randint(30, 300), rng.randint(300, 3000)])
    elif action.startswith("hold"):
        delay_ms = rng.choice([rng.randint(1, 200), CLIENT_WAITS_MS + rng.randint(50, 1500)])
    return api, action, delay_ms, rng.randint(1, 6)


class Killer(kafka_proxy.Rule):
    """SIGKILL for the job at the moment of a request: in the middle of a commit, to the step."""

    def __init__(self, api, nth, pid, forwarded):
        super().__init__(api, "hold_request" if forwarded else "drop_request",
                         1 if forwarded else 0, nth=nth)
        self.pid = pid

    def takes(self, request):
        chosen = super().takes(request)
        if chosen:
            os.kill(self.pid, signal.SIGKILL)
        return chosen


def wait_until_applied(world, rule):
    until = time.monotonic() + 20 * worlds.SLOWER
    while not rule.applied and time.monotonic() < until:
        world.check_processes()
        time.sleep(0.01)


def kill_at_request(world, proxy, rng, api, nth):
    victim = world.jobs[sorted(world.jobs)[0]]
    forwarded, lost = rng.random() < 0.6, rng.random() < 0.3
    victim.leave_alone()
    wait_until_applied(world, proxy.add(Killer(api, nth, victim.pid, forwarded)))
    victim.end()
    world.faults += 1
    proxy.clear()
    if lost and victim.state:
        shutil.rmtree(victim.state, ignore_errors=True)
    victim.up()
    world.wait_for_progress(more=20, timeout_s=60)
    return (f"SIGKILL at {api} number {nth}, {'forwarded' if forwarded else 'not forwarded'}"
            f"{', directory lost' if lost else ''}")


def one_round(world, proxy, rng):
    """Returns what was done; InitProducerId needs a new life of the job."""
    api, action, delay_ms, nth = fault(rng)
    if action == "kill" and api != "InitProducerId":
        return kill_at_request(world, proxy, rng, api, nth)
    if action == "kill":
        action = "drop_response"
    if api == "InitProducerId":
        nth = 1
    slow = api == "EndTxn" and rng.random() < 0.7
    if slow: # most of a transaction lies between its offsets and its records then
        proxy.rule("Produce", "hold_request", rng.randint(5, 60))
    rule = proxy.rule(api, action, delay_ms, nth=nth)
    if api == "InitProducerId":
        victim = world.jobs[sorted(world.jobs)[0]]
        victim.end()
        victim.up()
    wait_until_applied(world, rule)
    world.faults += rule.applied
    time.sleep(delay_ms / 1000)
    world.wait_for_progress(more=20, timeout_s=60)
    proxy.clear()
    return (f"{api} number {nth}: {action}{f' {delay_ms} ms' if delay_ms else ''}"
            f"{', slow writes' if slow else ''}")


def is_detected(world):
    return any(job.VIOLATION in each.unexpected for each in world.all_jobs())


def detected(world, report):
    """The job has stopped itself; how it said so."""
    names = [each.name for each in world.all_jobs() if job.VIOLATION in each.unexpected]
    for name in names:
        path = [each.log_path for each in world.all_jobs() if each.name == name][0]
        report.say(f"  detected by job {name}: {worlds.tail(path, 3).strip()}")


def play(world, proxy, count, report):
    """Rounds until `count` are done, or the job has detected a tear; returns the number."""
    rng = world.rng
    world.add()
    world.loader.rate(world.rate)
    world.wait_for_progress()
    done = 0
    try:
        while done < count:
            said = one_round(world, proxy, rng)
            done += 1
            report.rounds["fault"] = report.rounds.get("fault", 0) + 1
            looked = ""
            if done % 4 == 0 or done == count:
                looked = f"; {world.check_settled()} outputs right"
                world.loader.rate(world.rate)
            report.say(f"  fault {report.rounds['fault']}: {said}{looked}")
        world.prove_state()
    except tool.Failed:
        if not is_detected(world):
            raise
        detected(world, report)
        report.detected += 1
        if done < count: # in the middle of a round
            report.rounds["fault"] = report.rounds.get("fault", 0) + 1
            done += 1
    return max(done, 1)


def new_world(proxied, folder, name, seed, work):
    rng = random.Random(f"{seed}/{name}/settings")
    world = worlds.World(proxied.broker, folder, name, seed, users=rng.choice([7, 100]),
                         rate=rng.choice([200, 500]), work=work, listen=proxied.bootstrap,
                         options={"socket.timeout.ms": CLIENT_WAITS_MS})
    world.epoch_ms = rng.choice([1, 10])
    return world


def run(shares, seed, report, folder, transaction_version):
    """shares: [(work, rounds)].  Raises Violation for a silent tear."""
    settings = {"transaction_version": transaction_version, "settings": worlds.BROKER_SETTINGS}
    with kafka_proxy.ProxiedBroker(**settings) as proxied:
        for work, rounds in shares:
            number = 0
            while rounds > 0:
                name = f"fault{transaction_version}-{work.name.replace('_', '-')}{number}"
                report.say(f"world {name}: {work.name}, transaction.version {transaction_version}")
                rounds -= run_world(proxied, work, min(rounds, ROUNDS_PER_WORLD), seed, report,
                                    folder, name)
                number += 1


def run_world(proxied, work, rounds, seed, report, folder, name):
    """Returns how many rounds were done."""
    world = new_world(proxied, folder, name, seed, work)
    try:
        done = play(world, proxied.proxy, rounds, report)
        report.add_world(world, world.outputs())
        return done
    except BaseException as problem:
        report.say(world.evidence(problem))
        report.say(events_about(proxied.proxy))
        raise
    finally:
        proxied.proxy.clear()
        world.close()


def events_about(proxy, count=40):
    """The last requests that were not just passed on, for people."""
    chosen = [event for event in list(proxy.events) if event["what"] != "passed"][-count:]
    return "\n".join(f"  proxy: {event}" for event in chosen)


def show_that_r1_is_needed(seed, report, folder, tries=25):
    """The job without R1, late copies of EndTxn, transaction.version 0: the judge or the seals must
    tell of a tear, or these rounds could not fail.  Returns what they said."""
    with kafka_proxy.ProxiedBroker(transaction_version=0,
                                   settings=worlds.BROKER_SETTINGS) as proxied:
        world = new_world(proxied, folder, "without-r1", seed, works.UserCountsWithoutR1)
        try:
            world.add()
            world.loader.rate(world.rate)
            world.wait_for_progress()
            for number in range(tries):
                proxied.proxy.rule("Produce", "hold_request", world.rng.randint(20, 60))
                late = proxied.proxy.rule("EndTxn", "late", world.rng.randint(80, 400),
                                          nth=[2, 8, 14])
                until = time.monotonic() + 5 * worlds.SLOWER
                while late.applied < 3 and time.monotonic() < until:
                    world.check_processes()
                    time.sleep(0.05)
                world.wait_for_progress(timeout_s=60)
                proxied.proxy.clear()
                world.check_processes()
                if number % 4 == 3:
                    world.check_settled()
                    world.loader.rate(world.rate)
        except Violation as violation:
            report.say(world.evidence(violation))
            return f"the judge: {violation}"
        except tool.Failed:
            if not is_detected(world):
                raise
            detected(world, report)
            return "the seals (exit code 84)"
        finally:
            proxied.proxy.clear()
            world.close()
    raise tool.Failed(f"without R1 nothing went wrong in {tries} tries: these rounds cannot fail")
