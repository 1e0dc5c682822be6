"""The machine as a measurement finds it: what it is, what it does when idle, who takes its time.

On a virtual machine an idle processor gives itself back to the hypervisor, and each wake-up waits
until it has one again; a latency of milliseconds is then mostly that wait.  IdlePolling lets idle
processors wait for work awake, as far as the kernel can (cpuidle-haltpoll), and puts everything
back.  Steal is the time that the hypervisor gave to others while there was work here.
"""
import contextlib
import glob
import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEPS = os.path.join(ROOT, "build", "deps")
HALT_POLL = "/sys/module/haltpoll/parameters"
GOVERNOR = "/sys/devices/system/cpu/cpuidle/current_governor"
# 3 ms: events come every millisecond; N: a long sleep does not shorten the next one's polling.
POLLING = {"guest_halt_poll_ns": "3000000", "guest_halt_poll_allow_shrink": "N"}
STEAL = 7  # field of /proc/stat's first line, after "cpu"; guest time is in user time already
ALL = slice(0, 8)


def _read(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


class IdlePolling:
    """While it is entered, idle processors poll; `words` says whether it could be had."""

    def __init__(self, folder=HALT_POLL, governor=GOVERNOR):
        self.folder, self.governor = folder, governor
        self.before, self.words = {}, "halts"

    def _write(self, name, value):
        with open(os.path.join(self.folder, name), "w", encoding="ascii") as file:
            file.write(value)

    def __enter__(self):
        if _read(self.governor) != "haltpoll":
            return self
        try:
            for name, value in POLLING.items():
                self.before[name] = _read(os.path.join(self.folder, name))
                self._write(name, value)
            self.words = "polled"
        except OSError:
            self.__exit__()
        return self

    def __exit__(self, *_):
        for name, value in self.before.items():
            if value is not None:
                with contextlib.suppress(OSError):
                    self._write(name, value)
        self.before = {}


class Steal:
    """Percent of the processors' time that others had, since it was made."""

    def __init__(self, path="/proc/stat"):
        self.path = path
        self.before = self._ticks()

    def _ticks(self):
        with open(self.path, encoding="ascii") as file:
            fields = [int(word) for word in file.readline().split()[1:]]
        return fields[STEAL], sum(fields[ALL])

    def percent(self):
        steal, everything = self._ticks()
        passed = everything - self.before[1]
        return 100 * (steal - self.before[0]) / passed if passed > 0 else 0.0


def memory_gib():
    return int(_first_line("/proc/meminfo", r"MemTotal:\s+(\d+)")) / 2**20


def _first_line(path, pattern):
    with open(path, encoding="utf-8") as file:
        found = (re.match(pattern, line) for line in file)
        return next((match.group(1) for match in found if match), "unknown")


def _jar_version(folder, name):
    jars = glob.glob(os.path.join(DEPS, folder, name + "-[0-9]*.jar"))
    return os.path.basename(jars[0])[len(name) + 1:-4] if jars else None


def _printed(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=ROOT)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return (done.stdout or done.stderr).splitlines()[0]


def machine():
    """Where and with what the figures were measured."""
    return {
        "machine": f"{_first_line('/proc/cpuinfo', r'model name[^:]*: (.*)')}, {os.cpu_count()} "
                   f"cores, {memory_gib():.0f} GiB, Linux {os.uname().release}",
        "load_before": float(_read("/proc/loadavg").split()[0]),
        "commit": _printed("git", "rev-parse", "--short", "HEAD"),
        "java": _printed("java", "-version"),
        "kafka": _jar_version("kafka/libs", "kafka_2.13"),
        "kafka_streams": _jar_version("peers/streams", "kafka-streams"),
        "flink": _jar_version("peers/flink", "flink-core"),
        "flink_kafka": _jar_version("peers/flink", "flink-connector-kafka"),
        "librdkafka": _printed("cat", os.path.join(DEPS, "rdkafka", "version")),
    }


def machine_line(result):
    shown = ("machine", "load_before", "idle", "broker", "commit", "java", "kafka",
             "kafka_streams", "flink", "librdkafka")
    return "; ".join(f"{key}: {result[key]}" for key in shown if result.get(key) is not None)
