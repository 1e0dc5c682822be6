"""One or three Kafka brokers in a folder, in KRaft mode, each broker and controller at once.

    DIR/cluster.json          what was asked for, and the ports: a restart finds the same ones
    DIR/bootstrap             127.0.0.1:PORT[,...] while the brokers answer
    DIR/broker-N/data         the log; .../server.properties, log, log.before, format.log, pid
    DIR/tls/                  ca.pem, client.pem, client.key (--tls)

Nothing here talks to a broker but to see that it answers: topics are `leat topics`.
"""
import base64
import contextlib
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
import uuid

import kafka_process
import kafka_security
import kafka_settings
from kafka_process import Missing, Problem

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
KAFKA = os.path.realpath(os.path.join(ROOT, "build", "deps", "kafka"))
DEFAULT_DIR = os.path.join(ROOT, "build", "kafka")
DEFAULTS = {"brokers": 1, "heap": "512m", "young": None, "compiler": "full",
            "transaction_version": 2, "delay_rebalance_ms": 0, "settings": {}, "sasl": None,
            "tls": False, "advertise": []}
# Measured: docs/kafka.md.
JVM = ["-XX:+UseSerialGC", "-Xshare:auto", "-Djava.awt.headless=true"]
QUICK = "-XX:TieredStopAtLevel=1"
LOGGING = ["-Dorg.slf4j.simpleLogger.showDateTime=true",
           "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
           "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn"]
START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 20


# -- Java -----------------------------------------------------------------------------------------

def class_path():
    jars = sorted(glob.glob(os.path.join(KAFKA, "libs", "*.jar")))
    if not jars:
        raise Missing("the Kafka jars are missing (build/deps/kafka/libs): run `make setup`")
    return ":".join(jars)


def archive_path():
    """Prepared classes, for this Java and these jars; without the file nothing but time is lost."""
    what = os.path.realpath(kafka_process.java()) + class_path()
    return os.path.join(KAFKA, f"classes-{hashlib.sha256(what.encode()).hexdigest()[:16]}.jsa")


def java_command(heap, *arguments):
    archive = archive_path()
    shared = [f"-XX:SharedArchiveFile={archive}"] if os.path.exists(archive) else []
    return [kafka_process.java(), f"-Xmx{heap}", *JVM, *shared, *LOGGING, "-cp", class_path(),
            *arguments]


def first_error(log_path):
    """The line of a broker's log that says most about its end."""
    try:
        with open(log_path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()[-2000:]
    except OSError:
        lines = []
    telling = [line for line in lines if re.search(r"\bERROR\b|\bFATAL\b|Exception|[Ee]rror", line)]
    return (telling[0] if telling else (lines or ["no output"])[-1]).strip()[:300]


# -- the folder -----------------------------------------------------------------------------------

def keep_former_lives(log):
    """What a broker has said is added to LOG.before, one life after the other."""
    with contextlib.suppress(OSError):
        with open(log, "rb") as former, open(log + ".before", "ab") as kept:
            shutil.copyfileobj(former, kept)
        os.remove(log)


class Cluster:
    """The brokers of one folder.  Methods raise Problem; none may run twice at a time (locked)."""

    def __init__(self, folder=DEFAULT_DIR):
        self.folder = os.path.abspath(folder)
        self.plan = None
        with contextlib.suppress(OSError, ValueError), \
                open(self.path("cluster.json"), encoding="utf-8") as file:
            self.plan = json.load(file)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def file_of(self, broker, name):
        return self.path(f"broker-{broker['id']}", name)

    def brokers(self):
        if self.plan is None:
            raise Problem(f"there is no broker in {self.folder}: `tools/kafka start` makes one")
        return self.plan["brokers"]

    def broker(self, number):
        for broker in self.brokers():
            if broker["id"] == number:
                return broker
        raise Problem(f"there is no broker {number}; there are 1 to {len(self.brokers())}")

    def pid(self, number):
        """The pid of a running broker, else None."""
        return kafka_process.read_pid(self.file_of(self.broker(number), "pid"))

    def running(self):
        return [broker for broker in self.brokers() if self.pid(broker["id"])]

    @contextlib.contextmanager
    def locked(self):
        """One command at a time in a folder."""
        os.makedirs(self.folder, exist_ok=True)
        with open(self.path("lock"), "w", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # -- what was asked for -----------------------------------------------------------------------

    def plan_for(self, port, asked):
        """A new plan, or the one of the folder with what may change without a new format."""
        if self.plan is None:
            self.plan = {**DEFAULTS, **asked, "cluster_id": base64.urlsafe_b64encode(
                uuid.uuid4().bytes).decode().rstrip("=")}
            self.plan["brokers"] = [{"id": number + 1, "ports": {}}
                                    for number in range(self.plan["brokers"])]
            port = 9092 if port is None else port
        else:
            self.check_same(asked)
            self.plan.update({key: value for key, value in asked.items() if key != "brokers"})
        advertise = self.plan["advertise"]
        if advertise and len(advertise) != len(self.plan["brokers"]):
            raise Problem(f"--advertise needs one port a broker: {len(self.plan['brokers'])}")
        self.choose_ports(port)

    def check_same(self, asked):
        """The number of brokers, the format and SCRAM's users are in the data already."""
        have = {**self.plan, "brokers": len(self.plan["brokers"])}
        for key in ("brokers", "transaction_version", "sasl"):
            if key in asked and asked[key] != have[key]:
                option = "--" + key.replace("_", "-")
                raise Problem(f"{self.folder} was made with {option} {have[key]}: another --dir, "
                              f"or `tools/kafka destroy --dir {self.folder}` first")

    def choose_ports(self, port):
        """`port`, port + 1 ... for clients; 0: free ones; None: those of the last time."""
        brokers = self.plan["brokers"]
        if port is not None and self.running():
            port = None
        names = [name for name, _ in kafka_settings.listeners_of(self.plan)] + ["CONTROLLER"]
        if port is not None:
            for broker in brokers:
                broker["ports"] = {}
                if port:
                    broker["ports"]["PLAINTEXT"] = port + broker["id"] - 1
        missing = [(broker, name) for broker in brokers for name in names
                   if name not in broker["ports"]]
        for (broker, name), chosen in zip(missing, kafka_process.free_ports(len(missing))):
            broker["ports"][name] = chosen

    def save(self):
        with open(self.path("cluster.json.new"), "w", encoding="utf-8") as file:
            json.dump(self.plan, file, indent=1)
        os.replace(self.path("cluster.json.new"), self.path("cluster.json"))

    # -- format -----------------------------------------------------------------------------------

    def write_broker_files(self):
        if self.plan["tls"]:
            kafka_security.make_certificates(self.path("tls"))
        for broker in self.plan["brokers"]:
            os.makedirs(self.path(f"broker-{broker['id']}"), exist_ok=True)
            kafka_settings.write_settings(
                self.file_of(broker, "server.properties"),
                kafka_settings.settings_of(self.plan, broker, self.folder))

    def format_missing(self):
        """Formats each broker that has no data yet, all at the same time."""
        # in one word: an id may begin with a hyphen
        arguments = ["format", f"--cluster-id={self.plan['cluster_id']}", "--feature",
                     f"transaction.version={self.plan['transaction_version']}"]
        if self.plan["sasl"]:
            arguments += kafka_security.scram_users(*kafka_security.split_user(self.plan["sasl"]))
        runs = []
        for broker in self.plan["brokers"]:
            if os.path.exists(self.file_of(broker, "data/meta.properties")):
                continue
            log = self.file_of(broker, "format.log")
            command = java_command("128m", QUICK, "kafka.tools.StorageTool", *arguments, "--config",
                                   self.file_of(broker, "server.properties"))
            with open(log, "wb") as output:
                runs.append((log, subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                                   stdout=output, stderr=output)))
        for log, run in runs:
            if run.wait() != 0:
                raise Problem(f"the storage tool refuses: {first_error(log)} (log: {log})")

    def format(self, port=None, **asked):
        """An empty cluster, not started; what it held is gone."""
        with self.locked():
            if self.plan and self.running():
                raise Problem(f"the broker in {self.folder} runs: `tools/kafka stop` first")
            if self.plan:
                for broker in self.brokers():
                    shutil.rmtree(self.path(f"broker-{broker['id']}"), ignore_errors=True)
                kept = {key: self.plan[key] for key in DEFAULTS if key != "brokers"}
                asked = {**kept, "brokers": len(self.brokers()), **asked}
                self.plan = None
            self.plan_for(port, asked)
            self.save()
            self.write_broker_files()
            self.format_missing()

    # -- life -------------------------------------------------------------------------------------

    def start(self, port=None, **asked):
        """Makes what is missing, starts what does not run, returns when every broker answers."""
        class_path()
        with self.locked():
            self.plan_for(port, asked)
            stopped = [broker for broker in self.brokers() if broker not in self.running()]
            self.check_ports(stopped)
            self.save()
            self.write_broker_files()
            self.format_missing()
            self.launch(stopped)
            if not self.wait_for(stopped):
                raise Problem(f"only {len(self.running())} of {len(self.brokers())} brokers run")

    def restart(self, *numbers):
        """Stopped or killed brokers again, on their ports, with their data; without a number all
        that do not run.  Returns when they answer, or at once and False if they cannot yet: a
        controller needs a majority of its fellows, and those who come later wait for these, too."""
        with self.locked():
            brokers = self.to_restart(numbers)
            self.check_ports(brokers)
            self.launch(brokers)
            for broker in brokers:
                with open(self.file_of(broker, "not-waited-for"), "w", encoding="ascii"):
                    pass
            brokers = [broker for broker in self.running()
                       if os.path.exists(self.file_of(broker, "not-waited-for"))]
        return self.wait_for(brokers)

    def to_restart(self, numbers):
        for number in numbers:
            if self.broker(number) in self.running():
                raise Problem(f"broker {number} runs already (pid {self.pid(number)})")
        brokers = [broker for broker in self.brokers() if broker["id"] in numbers or not numbers]
        stopped = [broker for broker in brokers if broker not in self.running()]
        if not stopped:
            raise Problem("all brokers run already")
        return stopped

    def majority(self):
        return len(self.brokers()) // 2 + 1

    def check_ports(self, brokers):
        for broker in brokers:
            for name, port in broker["ports"].items():
                if not kafka_process.is_free(port):
                    raise Problem(f"port {port} ({name} of broker {broker['id']}) is taken by "
                                  f"{kafka_process.owner_of(port)}: --port P, or --port 0 for any")

    def launch(self, brokers):
        for broker in brokers:
            log = self.file_of(broker, "log")
            keep_former_lives(log)
            choices = [QUICK] if self.plan["compiler"] == "quick" else []
            if self.plan.get("young"):
                choices.append(f"-Xmn{self.plan['young']}")
            command = java_command(self.plan["heap"], *choices, "kafka.Kafka",
                                   self.file_of(broker, "server.properties"))
            kafka_process.write_pid(self.file_of(broker, "pid"), kafka_process.daemon(command, log))

    def wait_for(self, brokers):
        """Until they answer; False as soon as there are too few for that."""
        for broker in brokers:
            if not self.wait_until_it_answers(broker):
                return False
            with contextlib.suppress(FileNotFoundError):
                os.remove(self.file_of(broker, "not-waited-for"))
        self.write_bootstrap()
        return True

    def wait_until_it_answers(self, broker):
        """It answers, and the one that answers is the process that was started; False: the brokers
        that run are no majority (any more)."""
        until = time.monotonic() + START_TIMEOUT_S
        port, pid = broker["ports"]["PLAINTEXT"], self.pid(broker["id"])
        while not (pid and kafka_process.listens(pid, port) and kafka_process.answers(port)):
            log = self.file_of(broker, "log")
            if not pid or kafka_process.started_at(pid) is None:
                raise Problem(f"broker {broker['id']} ended: {first_error(log)} (log: {log})")
            if len(self.running()) < self.majority():
                return False
            if time.monotonic() > until:
                raise Problem(f"broker {broker['id']} (pid {pid}) does not answer on port {port} "
                              f"within {START_TIMEOUT_S} s (log: {log})")
            time.sleep(kafka_process.POLL_S)
        return True

    def write_bootstrap(self):
        new = self.path(f"bootstrap.{os.getpid()}") # two restarts may end at the same moment
        with open(new, "w", encoding="ascii") as file:
            file.write(self.bootstrap() + "\n")
        os.replace(new, self.path("bootstrap"))

    def stop(self):
        """Ends all brokers; returns the numbers of those that had to be killed."""
        with self.locked():
            killed = []
            running = self.running()
            for broker in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid(broker["id"]), kafka_process.signal.SIGTERM)
            until = time.monotonic() + STOP_TIMEOUT_S
            for broker in running:
                pid = self.pid(broker["id"])
                if pid and not kafka_process.wait_gone(pid, max(0, until - time.monotonic())):
                    kafka_process.kill(pid)
                    killed.append(broker["id"])
                self.forget(broker)
            return killed

    def forget(self, broker):
        for path in (self.file_of(broker, "pid"), self.path("bootstrap")):
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    def kill(self, *numbers):
        """SIGKILL, as a crash would be, of all at the same moment; returns when they are gone."""
        with self.locked():
            pids = {number: self.pid(number) for number in numbers}
            for number, pid in pids.items():
                if not pid:
                    raise Problem(f"broker {number} does not run")
            for pid in pids.values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, kafka_process.signal.SIGKILL)
            for number, pid in pids.items():
                kafka_process.kill(pid)
                os.remove(self.file_of(self.broker(number), "pid"))

    def destroy(self):
        """Kills what runs and removes the folder."""
        if self.plan is None:
            if os.path.isdir(self.folder) and set(os.listdir(self.folder)) - {"lock"}:
                raise Problem(f"{self.folder} was not made by tools/kafka: it stays")
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        with self.locked():
            for broker in self.running():
                kafka_process.kill(self.pid(broker["id"]))
            shutil.rmtree(self.folder)
        self.plan = None

    # -- what there is ----------------------------------------------------------------------------

    def bootstrap(self, listener="PLAINTEXT"):
        """127.0.0.1:PORT[,...] of all brokers."""
        return ",".join(f"127.0.0.1:{broker['ports'][listener]}" for broker in self.brokers())

    def describe(self):
        """All that a test may want to know, as one JSON object."""
        brokers = [{"id": broker["id"], "pid": self.pid(broker["id"]), "ports": broker["ports"],
                    "log": self.file_of(broker, "log"),
                    "answers": kafka_process.answers(broker["ports"]["PLAINTEXT"])}
                   for broker in self.brokers()]
        known = {"bootstrap": self.bootstrap(), "log": f"kafka:{self.bootstrap()}",
                 "dir": self.folder, "transaction_version": self.plan["transaction_version"],
                 "listeners": {name: self.bootstrap(name) for name, _ in
                               kafka_settings.listeners_of(self.plan)},
                 "brokers": brokers}
        if self.plan["tls"]:
            known["tls"] = {name: self.path("tls", file) for name, file in (
                ("ca", "ca.pem"), ("certificate", "client.pem"), ("key", "client.key"))}
        if self.plan["sasl"]:
            known["sasl"] = self.plan["sasl"]
        return known


def prepare_classes():
    """Runs a broker once and keeps its loaded classes: later starts take half the processor."""
    archive = archive_path()
    if os.path.exists(archive):
        return
    folder = os.path.join(KAFKA, f"prepare-{os.getpid()}")
    cluster = Cluster(folder)
    made = archive + f".{os.getpid()}"
    JVM.append(f"-XX:ArchiveClassesAtExit={made}")
    try:
        cluster.start(port=0, heap="256m")
        cluster.stop()
        if os.path.exists(made):
            os.replace(made, archive)
    finally:
        JVM.pop()
        cluster.destroy()
