"""The rounds: what is done to a job and its broker while it works.

    kill     SIGKILL of a process; then the same again, without its directory, or another one
    broker   SIGKILL of a broker, which comes back later
    stopped  SIGSTOP of a broker: its connections stay, and nothing answers
    all      SIGKILL of all brokers at once, which come back together
    compact  kill and broker, where the broker compacts changelogs all the time
    zombie   SIGSTOP for longer than session and transaction may last, then SIGCONT
    scale    1 ► 2 ► 3 ► 1 processes, by SIGTERM and by SIGKILL

A round returns a line about what was done.  The random numbers are those of the world's seed.
"""
import shutil
import signal
import time

import job
import tool
from world import SLOWER, TRANSACTION_TIMEOUT_S


def moment(world, rng, started_s):
    """Mostly between two commits of a job at work, now and then while it starts."""
    if rng.random() < 0.15:
        time.sleep(rng.uniform(0, 0.4) * SLOWER)
    else:
        world.wait_for_progress()
        time.sleep(rng.uniform(0, 0.08 if rng.random() < 0.7 else 0.6) * SLOWER)
    return time.monotonic() - started_s


def some_job(world, rng):
    return world.jobs[rng.choice(sorted(world.jobs))]


def kill(world, rng):
    victim = some_job(world, rng)
    lived_s = moment(world, rng, victim.started_s)
    victim.end(signal.SIGKILL)
    world.faults += 1
    kind = rng.random()
    if kind < 0.2:
        world.retire(victim.name)
        new = world.add()
        how = f"{new.name} takes over"
    elif kind < 0.4 and victim.state:
        shutil.rmtree(victim.state, ignore_errors=True)
        victim.up()
        how = "again, directory lost"
    else:
        victim.up()
        how = "again"
    return f"SIGKILL of {victim.name} after {lived_s * 1000:.0f} ms, {how}"


def outage(world, begin, end, lasts_s):
    """A job survives it, or ends with a code that lets its supervisor start it again.  Returns
    (how long it lasted, what came of it)."""
    before = {each: len(each.exits) for each in world.jobs.values()}
    world.wait_for_progress()
    time.sleep(world.rng.uniform(0, 0.3))
    began_s = time.monotonic()
    begin()
    world.faults += 1
    try:
        time.sleep(lasts_s)
    finally:
        end()
    back_s = time.monotonic()
    world.wait_for_progress(more=20, timeout_s=60)
    recovered_s = time.monotonic() - back_s
    ended = [each.exits[count:] for each, count in before.items()]
    codes = [code for exits in ended for code, _ in exits]
    survived = sum(1 for exits in ended if not exits)
    world.exposed += len(ended)
    world.survived += survived
    what = f"survived by {survived} of {len(ended)} processes"
    if codes:
        what += f", exit codes {codes}"
    return back_s - began_s, f"{what}, output again after {recovered_s:.1f} s"


def brokers_of(world):
    return [each["id"] for each in world.broker.describe()["brokers"]]


def broker(world, rng):
    number = rng.choice(brokers_of(world))
    down_s, what = outage(world, lambda: world.broker.kill(number),
                          lambda: world.broker.restart(number),
                          rng.choice([0, rng.uniform(0, 1.5), rng.uniform(0, 6)]))
    return f"SIGKILL of broker {number}, down {down_s:.0f} s, {what}"


def stopped(world, rng):
    """Sessions (2 s) and transactions (10 s) run out meanwhile, or do not."""
    number = rng.choice(brokers_of(world))
    down_s, what = outage(world, lambda: world.broker.pause(number),
                          lambda: world.broker.resume(number),
                          rng.choice([rng.uniform(0.1, 2), rng.uniform(2, 5), rng.uniform(5, 12)]))
    return f"SIGSTOP of broker {number} for {down_s:.1f} s, {what}"


def all_brokers(world, rng):
    numbers = brokers_of(world)

    def kill_all():
        for number in numbers:
            world.broker.kill(number)

    down_s, what = outage(world, kill_all, world.broker.start, rng.uniform(0, 6))
    return f"SIGKILL of all {len(numbers)} brokers, down {down_s:.0f} s, {what}"


def zombie(world, rng, pause_s=None):
    """Stopped jobs lose their partitions to others, wake up, and must do no harm."""
    while len(world.jobs) < 2:
        world.add()
    world.wait_until_joined()
    world.wait_for_progress(more=20)
    session_s = 2 * SLOWER
    if pause_s is None:
        pause_s = session_s + TRANSACTION_TIMEOUT_S + 1.5
    sleepers = rng.sample(sorted(world.jobs), rng.randint(1, len(world.jobs) - 1))
    time.sleep(rng.uniform(0, 0.1))
    for name in sleepers:
        world.jobs[name].pause()
        world.faults += 1
    replaced = rng.random() < 0.4
    said = f"SIGSTOP of {'+'.join(sleepers)} for {pause_s:.0f} s"
    try:
        if replaced: # under its name, as if on another machine
            old = world.retire(sleepers[0])
            old.replaced = True
            new = world.new_job(name=old.name)
            new.state = old.state and f"{old.state}-{time.monotonic_ns()}"
            new.log_path = old.log_path.replace(".log", f"-{time.monotonic_ns()}.log")
            world.jobs[new.name] = new
            new.up()
            said += f", {new.name} started again elsewhere"
        time.sleep(session_s + 1)
        world.wait_for_progress(more=20, timeout_s=60) # the others go on
        time.sleep(max(0, pause_s - session_s - 1))
    finally:
        for name in sleepers:
            for each in world.all_jobs():
                if each.name == name and each.process.poll() is None:
                    each.resume()
    world.wait_for_progress(more=20, timeout_s=60)
    time.sleep(rng.uniform(0.2, 1.5))
    if replaced:
        said += f", {wake_of_replaced(old)}"
    return said


def wake_of_replaced(old):
    """Its name was given to another: it ends, with 78 unless its commit took too long (R3), and
    writes nothing (R15)."""
    try:
        code = old.process.wait(timeout=30 * SLOWER)
    except Exception:
        raise tool.Failed(f"the replaced process {old.name} (pid {old.pid}) goes on: "
                          f"{old.log_path}\n{tool.stack_of(old.process)}") from None
    if code != job.FENCED and code not in job.RESTARTED:
        raise tool.Failed(f"the replaced process {old.name} ended with {code}, not {job.FENCED}: "
                          f"{old.log_path}")
    return f"the former ended with {code}"


def scale(world, rng):
    said = []
    for wanted in (2, 3, 1) if len(world.jobs) < 3 else (1, 2, 3, 1):
        while len(world.jobs) < wanted:
            gone = [each.name for each in world.retired
                    if each.state and each.name not in world.jobs and not each.running]
            back = rng.choice(gone) if gone and rng.random() < 0.3 else None
            said.append("+" + world.add(name=back).name)
        while len(world.jobs) > wanted:
            name = rng.choice(sorted(world.jobs))
            gently = rng.random() < 0.5
            world.retire(name).end(signal.SIGTERM if gently else signal.SIGKILL)
            said.append(("-" if gently else "!") + name)
        world.wait_for_progress(more=5)
        time.sleep(rng.uniform(0, 1.5) * SLOWER)
    world.faults += len(said)
    return f"processes {' '.join(said)} (+ started, - SIGTERM, ! SIGKILL)"


def compact(world, rng):
    return broker(world, rng) if rng.random() < 0.2 else kill(world, rng)


KINDS = {"kill": kill, "compact": compact, "broker": broker, "stopped": stopped, "all": all_brokers,
         "zombie": zombie, "scale": scale}
# rounds between two looks at everything
EVERY = {"kill": 5, "compact": 5, "broker": 2, "stopped": 2, "all": 2, "zombie": 2, "scale": 2}
