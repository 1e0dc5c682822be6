"""How every benchmark through a Kafka broker goes: options, preparation, turns, medians, words.

    prepared()    idle processors poll, a broker is started and warmed up; all is put back, also
                  after Ctrl-C or SIGTERM
    take_turns()  A B C A B C ...: each engine --runs times; then whoever had a disturbed run has
                  another one, at most --repeats of them
    told()        medians to JSON, and the table

Disturbed is a run in which the hypervisor gave more than --max-steal percent of the machine's time
to others, or whose generator was late: it says more about the neighbours than about the engine.
The rule is the same for every engine.  Where quiet runs do not suffice, the least disturbed fill
up, and the table says so.
"""
import argparse
import contextlib
import json
import os
import signal
import statistics
import sys

from kafka_bench import INPUT, OUTPUT, Broker
from machine import ROOT, IdlePolling, Steal, machine, machine_line, memory_gib

# Its own pauses are the whole p99 of a broker with the 512 MB of a first step: 30 ms each second.
LARGE = {"memory_gib": 8, "heap": "3g", "young": "2g"}
SMALL = {"heap": "1g", "young": "600m"}
MAX_LATE_MS = 5
LATE_COUNTS_TO_RATE = 1000  # above, an engine itself can take the processors from the generator


class Watch:
    """What passes from its making to figures(): wall, processors, steal."""

    def __init__(self, running, broker, at_ns=None):
        self.running, self.broker, self.begin_ns = running, broker, at_ns
        self.cpu_s, self.broker_cpu_s = running.cpu_s(), broker.cpu_s()
        self.steal = Steal()

    def figures(self, at_ns):
        """Of a load that says when it begins and ends."""
        wall_s = (at_ns - self.begin_ns) / 1e9
        return {"cores": (self.running.cpu_s() - self.cpu_s) / wall_s,
                "broker_cores": (self.broker.cpu_s() - self.broker_cpu_s) / wall_s,
                "steal_percent": self.steal.percent()}


def common_parser(prog, about, runs, out):
    parser = argparse.ArgumentParser(prog=prog, epilog=about,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    large = memory_gib() >= LARGE["memory_gib"]
    chosen = LARGE if large else SMALL
    add = parser.add_argument
    add("--runs", type=int, default=runs, help=f"of each engine ({runs})")
    add("--repeats", type=int, default=4, metavar="N",
        help="more runs of an engine instead of disturbed ones (4)")
    add("--max-steal", type=float, default=1.5, metavar="PERCENT",
        help="of the machine's time that others may have in an undisturbed run (1.5)")
    add("--quick", action="store_true", help="one short run of each: no figure")
    add("--json", action="store_true", help="JSON instead of the table")
    add("--out", default=os.path.join(ROOT, "build", "bench", out),
        help=f"where the JSON goes (build/bench/{out})")
    add("--broker", metavar="HOST:PORT",
        help="a broker that is there, instead of one of its own; its topics "
             f"{INPUT} and {OUTPUT} are deleted")
    add("--broker-pid", type=int, metavar="PID", help="its process")
    add("--broker-heap", default=chosen["heap"], metavar="SIZE",
        help=f"Java's heap of a broker of its own ({chosen['heap']})")
    add("--broker-young", default=chosen["young"], metavar="SIZE",
        help=f"how much of it is for new objects ({chosen['young']})")
    add("--broker-warm-up", type=int, default=90, metavar="SECONDS",
        help="of load before the first run: the broker compiles itself (90)")
    return parser


def parsed(parser):
    options = parser.parse_args()
    if options.broker and not options.broker_pid:
        parser.error("--broker needs --broker-pid: its processor time is measured")
    if options.quick:
        options.runs, options.repeats, options.broker_warm_up = 1, 0, 3
    return options


def _leave(number, _frame):
    raise SystemExit(128 + number)


@contextlib.contextmanager
def prepared(options, name):
    """(broker, what the JSON begins with)"""
    signal.signal(signal.SIGTERM, _leave)  # as Ctrl-C: what was begun is ended, what was set reset
    signal.signal(signal.SIGHUP, _leave)
    about = {"bench": name, **machine()}
    with IdlePolling() as idle, Broker(options.broker, options.broker_pid, options.broker_heap,
                                       options.broker_young) as broker:
        about.update(idle=idle.words, broker=broker.words, runs=options.runs,
                     max_steal_percent=options.max_steal)
        if idle.words == "halts":
            print("idle processors halt: on a virtual machine latencies are mostly wake-ups",
                  file=sys.stderr)
        if options.broker_warm_up > 0:
            print(f"  the broker is warmed up for {options.broker_warm_up} s", file=sys.stderr,
                  flush=True)
            broker.warm_up(options.broker_warm_up)
        yield broker, about


def is_disturbed(row, options, case):
    """The case is a rate, or a name: then the generator, if there is one, is a slow one."""
    slow = not isinstance(case, int) or case <= LATE_COUNTS_TO_RATE
    late = slow and row.get("late_p99_ms", 0) > MAX_LATE_MS
    return row["steal_percent"] > options.max_steal or late


def disturbance(row):
    """To order runs by."""
    return row["steal_percent"] + row.get("late_p99_ms", 0)


def chosen_runs(rows, runs):
    """The first `runs` undisturbed ones; where there are fewer, the least disturbed fill up."""
    quiet = [row for row in rows if not row["disturbed"]][:runs]
    others = sorted((row for row in rows if row["disturbed"]), key=disturbance)
    return quiet + others[:runs - len(quiet)]


def _one_run(options, case, name, number, run_once, shown):
    row = run_once(case, name)
    row["disturbed"] = is_disturbed(row, options, case)
    words = ", ".join(f"{key} {row[key]:.2f}" for key in shown if key in row)
    print(f"  {case}, {name}, run {number}: {words}, steal {row['steal_percent']:.1f} %"
          + (" - disturbed" if row["disturbed"] else ""), file=sys.stderr, flush=True)
    return row


def take_turns(options, case, names, run_once, shown):
    """{name: [row, ...]}, all of them; run_once(case, name) gives a row of figures."""
    rows = {name: [] for name in names}
    for turn in range(options.runs + options.repeats):
        for name in names:
            quiet = sum(not row["disturbed"] for row in rows[name])
            if turn < options.runs or quiet < options.runs:
                rows[name].append(_one_run(options, case, name, turn + 1, run_once, shown))
    return rows


def medians(rows, runs):
    """Of every number in the rows that count; and how many were rejected, how many only serve."""
    used = chosen_runs(rows, runs)
    numbers = [key for key, value in used[0].items()
               if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return {**{key: statistics.median(row[key] for row in used) for key in numbers},
            "rejected": sum(row["disturbed"] for row in rows) -
            sum(row["disturbed"] for row in used),
            "disturbed": sum(row["disturbed"] for row in used)}


def ratios(by_name, keys):
    """{"leat / floor": {key: ratio}, "leat / best peer": ...}, of what was measured.  The floor is
    the best bare row that writes a changelog: every engine has to, or its state is lost."""
    groups = {"leat / floor": [name for name in by_name if name.startswith("bare")
                               and "changelog" in name],
              "leat / best peer": [name for name in by_name
                                   if name.startswith(("streams", "flink"))]}
    found = {}
    for words, names in groups.items():
        if "leat" not in by_name or not names:
            continue
        best = {key: min(by_name[name][key] for name in names) for key in keys}
        found[words] = {key: by_name["leat"][key] / best[key] for key in keys if best[key] > 0}
    return found


def told(options, result, runs, table, about_disturbed=True):
    """Writes the JSON, prints the table; runs is {case: {name: [row, ...]}}."""
    result["runs_of_each"] = runs
    result["medians"] = {case: {name: medians(rows, options.runs) for name, rows in rows_of.items()}
                         for case, rows_of in runs.items()}
    os.makedirs(os.path.dirname(os.path.abspath(options.out)), exist_ok=True)
    with open(options.out, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    if options.json:
        print(json.dumps(result))
        return
    print(machine_line(result))
    for case, by_name in result["medians"].items():
        print()
        table(case, by_name)
    if about_disturbed:
        print("\nrejected: disturbed runs that were made again; *: some of the runs that count are "
              f"disturbed\n(steal > {options.max_steal} %, or the generator late by more than "
              f"{MAX_LATE_MS} ms at up to {LATE_COUNTS_TO_RATE}/s)")


def columns(by_name, keys, heads, goals=None):
    """A table of engines, the ratios and the goals below; heads is {key: (title, format)}."""
    widths = {key: max(len(heads[key][0]), 8) + 2 for key in keys}
    first = max(16, *(len(name) for name in by_name)) + 1
    print(f"  {'':<{first}}" + "".join(f"{heads[key][0]:>{widths[key]}}" for key in keys)
          + "  rejected")
    for name, row in by_name.items():
        mark = "*" if row["disturbed"] else ""
        print(f"  {name + mark:<{first}}" + "".join(
            f"{row[key]:>{widths[key]}{heads[key][1]}}" for key in keys) + f"{row['rejected']:>10}")
    for words, row in ratios(by_name, keys).items():
        print(f"  {words:<{first}}" + "".join(
            f"{row[key]:>{widths[key]}.2f}" if key in row and heads[key][2] else
            " " * widths[key] for key in keys))
    if goals:
        print(f"  {'goal of leat':<{first}}" + "".join(
            f"{goals.get(key, ''):>{widths[key]}}" for key in keys))
