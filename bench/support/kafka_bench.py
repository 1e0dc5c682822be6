"""What the benchmarks through a Kafka broker share: the broker, the engines, their cost, the load.

An engine is a process that reads user_events and writes user_recommendations, a count per user,
exactly once.  `engines()` lists them with their settings; Load runs bin/bench/e2e/load, which
produces, reads, checks and tells in lines of JSON when it does what.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from machine import DEPS, ROOT

BIN = os.path.abspath(os.environ.get("LEAT_BIN_DIR", os.path.join(ROOT, "build", "release", "bin")))
LOAD = os.path.join(BIN, "bench", "e2e", "load")
TOOL = os.path.join(ROOT, "tools", "kafka")
BARE = os.path.join(BIN, "bench", "e2e", "bare")
USER_COUNTS = os.path.join(BIN, "examples", "user_counts")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STOP_S = 20
WARM_UP_RATE = 3000
INPUT, OUTPUT, CHANGELOG = "user_events", "user_recommendations", "bench-changelog"
# What engines leave on the broker: topics that begin so go before each run.
OWN_TOPICS = ("user-counts,user_counts,bench-,dead-letters,leat-,user-interactions,recommend,"
              "sessions,item-popularity,late-events")

# A small deployment's heap; G1 is what Java takes on a machine of two cores and 2 GiB.
JAVA = ["java", "-Xmx512m", "-XX:+UseG1GC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
FLINK_OPENS = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in (
    "java.lang", "java.util", "java.util.concurrent", "java.time", "java.net", "java.nio")]


class Wrong(Exception):
    """A result is wrong or an engine failed: no figure is printed."""


class Process:
    """A running process: its CPU seconds and its resident megabytes, from /proc."""

    def __init__(self, pid):
        self.pid = pid

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def _status_mb(self, name):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as file:
            line = next(line for line in file if line.startswith(name))
        return int(line.split()[1]) * 1024 / 1e6

    def resident_mb(self):
        return self._status_mb("VmRSS")

    def peak_mb(self):
        return self._status_mb("VmHWM")


class Broker(Process):
    """The project's own broker in a temporary folder, or one that is there already (its topics
    user_events, user_recommendations and those of OWN_TOPICS are deleted)."""

    def __init__(self, address=None, pid=None, heap="512m", young=None):
        self.folder = None
        self.words = f"{address}, as it was"
        if address is None:
            self.folder = tempfile.mkdtemp(prefix="leat-bench-kafka-")
            self.words = f"heap {heap}, young {young}" if young else f"heap {heap}"
            try:
                address, pid = self._start(heap, young)
            except BaseException:
                self.__exit__()
                raise
        super().__init__(pid)
        self.address = address

    def _start(self, heap, young):
        told = subprocess.run(
            [TOOL, "start", "--port", "0", "--json", "--heap", heap,
             *(["--young", young] if young else []), "--dir", os.path.join(self.folder, "kafka")],
            stdout=subprocess.PIPE, check=True)
        known = json.loads(told.stdout)
        return known["log"].partition(":")[2], known["brokers"][0]["pid"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.folder is not None:
            subprocess.run([TOOL, "destroy", "--dir", os.path.join(self.folder, "kafka")],
                           check=False)
            shutil.rmtree(self.folder, ignore_errors=True)

    def fresh_topics(self):
        subprocess.run([LOAD, "topics", f"broker={self.address}", f"remove={OWN_TOPICS}",
                        f"create={CHANGELOG}"], check=True)

    def warm_up(self, seconds):
        """Java compiles what the broker does under load; 0.4 of a core for the first minutes."""
        if seconds <= 0:
            return
        self.fresh_topics()
        engine = Engine("bare", "to warm up", _bare(5, "pipelined", CHANGELOG))
        with Running(engine, self), Load("live", self, rate=WARM_UP_RATE, seconds=1,
                                         warm_up=seconds - 1) as load:
            load.finish()


class Engine:
    """One engine with one setting.  `command(broker, folder, name, instance)` is its argv; name is
    another one each run, so that no group waits for a member of the run before."""

    def __init__(self, kind, setting, command):
        self.kind, self.setting, self.command = kind, setting, command
        self.name = f"{kind} {setting}".strip()


class Running(Process):
    """An engine's process; its state and its words are in a temporary folder."""
    number = 0

    def __init__(self, engine, broker, folder=None, name=None, instance="one"):
        Running.number += 1
        self.engine, self.owned = engine, folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="leat-bench-engine-")
        os.makedirs(os.path.join(self.folder, "local"), exist_ok=True)
        self.words = os.path.join(self.folder, "words")
        argv = engine.command(broker.address, self.folder,
                              name or f"bench-{os.getpid()}-{Running.number}", instance)
        self.started_ns = time.monotonic_ns()
        with open(self.words, "ab") as words:
            self.words_from = words.tell()
            self.child = subprocess.Popen(argv, stdout=words, stderr=words, cwd=self.folder)
        super().__init__(self.child.pid)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()
        if kind is not None:
            self.tell()
        if self.owned:
            shutil.rmtree(self.folder, ignore_errors=True)

    def said(self, pattern):
        """What it wrote that matches, or None."""
        with open(self.words, "rb") as words:
            words.seek(self.words_from)
            return re.search(pattern, words.read().decode(errors="replace"))

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def tell(self):
        with open(self.words, encoding="utf-8", errors="replace") as words:
            sys.stderr.write(f"the last words of {self.engine.name}:\n{words.read()[-3000:]}\n")


class Load:
    """bin/bench/e2e/load: `for line in load` gives what it tells; `result` is its last line."""

    def __init__(self, command, broker, **settings):
        words = [f"{name}={value}" for name, value in settings.items()]
        self.child = subprocess.Popen([LOAD, command, f"broker={broker.address}", *words],
                                      stdout=subprocess.PIPE, text=True)
        self.result = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        self.child.stdout.close()

    def __iter__(self):
        for text in self.child.stdout:
            line = json.loads(text)
            if line["phase"] == "result":
                self.result = line
            yield line

    def until(self, phase):
        for line in self:
            if line["phase"] == phase:
                return line["at_ns"]
        raise Wrong(f"the load ended before '{phase}'")

    def finish(self):
        for _ in self:
            pass
        if self.child.wait() != 0 or (self.result and not self.result["right"]):
            raise Wrong(f"WRONG RESULT: {self.result}")
        return self.result


def _bare(epoch_ms, order="eager", changelog=None):
    """Pipelined, offsets go last: measured best (docs/benchmarks.md)."""
    def command(broker, _folder, name, instance):
        return [BARE, f"broker={broker}", f"group={name}-{instance}", f"epoch_ms={epoch_ms}",
                f"order={order}", *(["register_first=0"] if order == "pipelined" else []),
                *([f"changelog={changelog}"] if changelog else [])]
    return command


def leat_command(*more):
    def command(broker, folder, _name, instance):
        return [USER_COUNTS, "--log", f"kafka:{broker}", "--instance", instance, "--state-dir",
                os.path.join(folder, "state"), *more]
    return command


def _java(peer, main, opens, settings):
    def command(broker, folder, name, _instance):
        jars = os.path.join(DEPS, "peers", peer, "*")
        return [*JAVA, *opens, "-cp", jars, main, broker, folder, name, INPUT, OUTPUT, *settings]
    return command


def _streams(interval_ms):
    return _java("streams", "leat.bench.StreamsCount", [], [f"commit.interval.ms={interval_ms}"])


def _flink(interval_ms):
    return _java("flink", "leat.bench.FlinkCount", FLINK_OPENS, [
        f"execution.checkpointing.interval={interval_ms}ms",
        "execution.buffer-timeout.interval=5ms"])


def varied(engine, words):
    """The engine with more words: for one in Java those with -X are for the machine; of what is
    given twice the last counts."""
    flags = [word for word in words if word.startswith("-X")]
    others = [word for word in words if word not in flags]

    def command(*arguments):
        argv = engine.command(*arguments)
        at = argv.index("-cp") if flags else 1
        return [*argv[:at], *flags, *argv[at:], *others]
    return Engine(engine.kind, " ".join([engine.setting, *words]).strip(), command)


def _chosen(known, wanted):
    """The engines that one of --engines names: a kind, or a name, and words of its own after it."""
    words = wanted.split()
    first = next((at for at, word in enumerate(words) if "=" in word or word[0] == "-"), len(words))
    name = " ".join(words[:first])
    found = [engine for engine in known if name in (engine.kind, engine.name)]
    if not found:
        raise SystemExit(f"there is no engine '{name}'; there are {[e.name for e in known]}")
    return [varied(engine, words[first:]) if words[first:] else engine for engine in found]


def engines(wanted):
    """What the list names, in its order: "bare", "streams 10 ms", "leat --epoch-ms 5",
    "streams 10 ms producer.linger.ms=0 -Xmx1g"."""
    known = [
        Engine("bare", "10 ms", _bare(10)),
        Engine("bare", "5 ms + changelog", _bare(5, changelog=CHANGELOG)),
        Engine("bare", "pipelined + changelog", _bare(0, "pipelined", CHANGELOG)),
        Engine("leat", "", leat_command()),
        *[Engine("streams", f"{ms} ms", _streams(ms)) for ms in (10, 20, 100)],
        *[Engine("flink", f"{ms} ms", _flink(ms)) for ms in (50, 100, 1000)],
    ]
    chosen = [engine for name in wanted for engine in _chosen(known, name)]
    if any(e.kind in ("streams", "flink") for e in chosen):
        subprocess.run([os.path.join(ROOT, "bench", "peers", "build.sh")], check=True)
    return chosen
