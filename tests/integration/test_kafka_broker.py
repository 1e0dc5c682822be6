"""tools/kafka: brokers that start, die and come back with their data, and clear words when they
cannot.  Its users are the tests of the Kafka driver, so what they trust is tested here."""
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import kafka  # noqa: E402
import kafka_wire  # noqa: E402

TOOL = os.path.join(kafka.kafka_cluster.ROOT, "tools", "kafka")


def command(*arguments, expect=0, environment=None):
    done = subprocess.run([sys.executable, TOOL, *map(str, arguments)], capture_output=True,
                          text=True, check=False, env=dict(os.environ, **(environment or {})))
    assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def client(address, **others):
    host, port = address.split(":")
    return kafka_wire.Client(host, int(port), **others)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="leat-kafka-")
        self.addCleanup(command, "destroy", "--dir", self.folder)

    def kafka(self, name, *arguments, **others):
        return command(name, "--dir", self.folder, *arguments, **others)

    def says_no(self, done, *parts):
        """One line on stderr, with all the parts."""
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        for part in ("tools/kafka: ", *parts):
            self.assertIn(part, done.stderr)

    def started(self, *arguments):
        return json.loads(self.kafka("start", "--port", 0, "--json", *arguments).stdout)


class OneBroker(Case):
    def test_it_prints_what_log_takes_and_keeps_topics_and_records_over_a_crash(self):
        log = self.kafka("start", "--port", 0).stdout.strip()
        self.assertRegex(log, r"^kafka:127\.0\.0\.1:\d+$")
        address = log.partition(":")[2]
        with client(address) as one:
            one.create_topic("t", partitions=2)
            self.assertEqual(kafka_wire.eventually(lambda: one.produce("t", 1, [b"a", b"b"])), 0)
        self.kafka("kill", 1)
        self.kafka("status", expect=1)
        self.says_no(self.kafka("kill", 1, expect=1), "broker 1 does not run")
        self.assertEqual(self.kafka("restart", 1).stdout.strip(), log)
        self.says_no(self.kafka("restart", 1, expect=1), "runs already")
        with client(address) as one:
            self.assertEqual(kafka_wire.eventually(lambda: one.end_offset("t", 1)), 2)
            self.assertEqual(len(one.metadata()[1]["t"]), 2)

    def test_stop_keeps_the_data_start_twice_is_one_broker_and_format_empties_it(self):
        first = self.started()
        self.assertEqual(self.started()["brokers"][0]["pid"], first["brokers"][0]["pid"])
        with client(first["bootstrap"]) as one:
            one.create_topic("t")
        self.says_no(self.kafka("format", expect=1), "runs", "stop")
        self.kafka("stop")
        self.kafka("stop")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "bootstrap")))
        again = json.loads(self.kafka("start", "--json").stdout)
        self.assertEqual(again["bootstrap"], first["bootstrap"])
        with client(again["bootstrap"]) as one:
            self.assertIn("t", one.metadata()[1])
        self.kafka("stop")
        self.kafka("format")
        with client(json.loads(self.kafka("start", "--json").stdout)["bootstrap"]) as one:
            self.assertEqual(one.metadata()[1], {})

    def test_topics_are_not_made_by_accident_and_settings_reach_the_broker(self):
        known = self.started("--transaction-version", 0, "--set", "message.max.bytes=2000")
        with client(known["bootstrap"]) as one:
            self.assertNotIn("transaction.version", one.features())
            with self.assertRaises(kafka_wire.Refused):
                one.produce("none", 0, [b"x"])
            self.assertEqual(one.metadata()[1], {})
            one.create_topic("t")
            kafka_wire.eventually(lambda: one.produce("t", 0, [b"x" * 1000]))
            with self.assertRaises(kafka_wire.Refused) as refused:
                one.produce("t", 0, [b"x" * 3000])
            self.assertEqual(refused.exception.code, 10)  # MESSAGE_TOO_LARGE
        self.says_no(self.kafka("start", "--transaction-version", 2, expect=1),
                     "--transaction-version 0", "destroy")

    def test_transaction_version_2_is_the_default(self):
        with client(self.started()["bootstrap"]) as one:
            self.assertEqual(one.features()["transaction.version"], 2)

    def test_a_pid_file_of_another_process_counts_for_nothing(self):
        self.started()
        self.kafka("stop")
        with open(os.path.join(self.folder, "broker-1", "pid"), "w", encoding="ascii") as file:
            json.dump({"pid": os.getpid(), "started_at": 1}, file)
        self.says_no(self.kafka("kill", 1, expect=1), "does not run")
        self.started()


class Errors(Case):
    def test_a_taken_port_is_named_with_its_owner(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.says_no(self.kafka("start", "--port", port, expect=1), f"port {port}",
                         f"process {os.getpid()}", "--port 0")

    def test_what_is_missing_is_69_and_names_the_remedy(self):
        done = self.kafka("start", "--port", 0, expect=69,
                          environment={"PATH": "/nowhere", "JAVA_HOME": "/nowhere"})
        self.says_no(done, "no java", "make setup")

    def test_a_broker_that_ends_at_once_says_why(self):
        self.says_no(self.kafka("start", "--port", 0, "--set", "num.io.threads=none", expect=1),
                     "num.io.threads", "log:")
        self.says_no(self.kafka("start", "--port", 0, "--heap", "1m", expect=1), "log:")

    def test_wrong_command_lines_are_64(self):
        for arguments in ((), ("frobnicate",), ("kill",), ("start", "--brokers", "2"),
                          ("start", "--port", "x"), ("start", "--set", "x"),
                          ("start", "--transaction-version", "9")):
            command(*arguments, expect=64)
        text = command("--help").stdout
        for word in ("start", "restart", "destroy", "examples"):
            self.assertIn(word, text)

    def test_a_folder_of_somebody_else_is_not_removed(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "precious"), "w", encoding="ascii"):
                pass
            self.says_no(command("destroy", "--dir", folder, expect=1), "not made by tools/kafka")
            self.assertEqual(os.listdir(folder), ["precious"])

    def test_there_is_no_broker_2_of_1_and_none_in_an_empty_folder(self):
        self.says_no(self.kafka("kill", 1, expect=1), "no broker in", "start")
        self.kafka("format", "--port", 0)
        self.says_no(self.kafka("kill", 2, expect=1), "no broker 2")
        self.says_no(self.kafka("start", "--brokers", 3, expect=1), "--brokers 1")


class Security(Case):
    def test_sasl_and_tls_listeners_let_in_who_knows_the_password_and_prove_who_they_are(self):
        known = self.started("--sasl", "ada:secret", "--tls")
        self.assertEqual(set(known["listeners"]),
                         {"PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL"})
        trust = ssl.create_default_context(cafile=known["tls"]["ca"])
        for listener, tls in (("SASL_PLAINTEXT", None), ("SASL_SSL", trust)):
            with client(known["listeners"][listener], tls=tls) as one:
                self.assertIn("SCRAM-SHA-256", one.log_in("ada", "secret"))
                self.assertEqual(list(one.metadata()[0]), [1])
            with client(known["listeners"][listener], tls=tls) as one, \
                    self.assertRaises((kafka_wire.Refused, ConnectionError)):
                one.log_in("ada", "wrong")
        trust.load_cert_chain(known["tls"]["certificate"], known["tls"]["key"])
        with client(known["listeners"]["SSL"], tls=trust) as one:
            self.assertIn(kafka_wire.PRODUCE, one.api_versions())
        with self.assertRaises(ssl.SSLError):
            client(known["listeners"]["SSL"], tls=ssl.create_default_context())

    def test_clients_of_the_proxy_listener_are_told_the_proxys_port(self):
        known = self.started("--advertise", "45678")
        with client(known["listeners"]["PROXY"]) as one:
            self.assertEqual(one.metadata()[0], {1: ("127.0.0.1", 45678)})
        with client(known["bootstrap"]) as one:
            self.assertEqual("%s:%d" % one.metadata()[0][1], known["bootstrap"])
        self.says_no(command("format", "--dir", self.folder + "3", "--brokers", 3, "--port", 0,
                             "--advertise", 1, expect=1), "one port a broker")
        command("destroy", "--dir", self.folder + "3")


class ThreeThatDied(Case):
    """The first that comes back cannot answer: a quorum needs two."""

    def setUp(self):
        super().setUp()
        self.known = self.started("--brokers", 3, "--heap", "256m")
        with client(self.known["bootstrap"].split(",")[0]) as one:
            one.create_topic("t", partitions=3)
            kafka_wire.eventually(lambda: FromPython.all_in_sync(one, 3), timeout_s=60)

    def kill_all(self):
        for pid in [broker["pid"] for broker in self.known["brokers"]]:
            os.kill(pid, signal.SIGKILL)
        for broker in self.known["brokers"]:
            self.assertTrue(kafka.kafka_process.wait_gone(broker["pid"], 60))
        self.kafka("status", expect=1)

    def all_are_back(self):
        self.known = json.loads(self.kafka("status", "--json").stdout)
        self.assertTrue(all(broker["answers"] for broker in self.known["brokers"]))
        for address in self.known["bootstrap"].split(","):
            with client(address) as one:
                kafka_wire.eventually(lambda: FromPython.all_in_sync(one, 3), timeout_s=60)

    def test_one_whose_fellow_dies_meanwhile_is_not_waited_for(self):
        self.kafka("kill", 1, 2)
        stopped = self.known["brokers"][2]["pid"]
        os.kill(stopped, signal.SIGSTOP) # counts as one that runs, and does not answer
        timer = threading.Timer(3, os.kill, (stopped, signal.SIGKILL))
        timer.start()
        self.says_no(self.kafka("restart", 2), "broker 2 is started", "when 2 of 3 run")
        timer.join()
        self.kafka("restart")
        self.all_are_back()

    def test_they_come_back_one_by_one_side_by_side_and_in_one_command(self):
        self.kill_all()
        self.says_no(self.kafka("restart", 2), "broker 2 is started", "when 2 of 3 run")
        self.kafka("restart", 1)
        status = self.kafka("status", expect=1).stdout.splitlines()
        self.assertRegex(status[0], "broker 1: .*, answers")
        self.assertRegex(status[1], "broker 2: .*, answers") # it was waited for, too
        self.kafka("restart", 3)
        self.all_are_back()

        self.kill_all()
        threads = [threading.Thread(target=self.kafka, args=("restart", number))
                   for number in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.all_are_back()

        self.kill_all()
        self.kafka("restart", 1, 2, 3)
        self.all_are_back()
        self.kafka("kill", 1, 3)
        self.kafka("restart") # those that do not run
        self.all_are_back()
        self.says_no(self.kafka("restart", expect=1), "all brokers run already")


class FromPython(unittest.TestCase):
    def test_three_brokers_go_on_without_one_and_take_it_back(self):
        with kafka.Broker(brokers=3, heap="256m") as cluster:
            addresses = cluster.bootstrap.split(",")
            with client(addresses[0]) as one:
                one.create_topic("t", partitions=3)
                kafka_wire.eventually(lambda: self.all_in_sync(one, 3), timeout_s=60)
            cluster.kill(2)
            with client(addresses[0]) as one:
                kafka_wire.eventually(lambda: self.all_in_sync(one, 2))
                leader = one.metadata()[1]["t"][0][0]
            with client(addresses[leader - 1]) as one:
                kafka_wire.eventually(lambda: one.produce("t", 0, [b"with two of three"]))
            cluster.restart(2)
            with client(addresses[1]) as one:
                kafka_wire.eventually(lambda: self.all_in_sync(one, 3), timeout_s=60)
        self.assertFalse(os.path.exists(cluster.folder))

    @staticmethod
    def all_in_sync(one, count):
        topics = one.metadata()[1]
        if "t" not in topics: # a broker that is just back knows no topics yet
            raise kafka_wire.Refused(-1, "not yet")
        for leader, replicas in topics["t"]:
            if leader < 0 or len(replicas) != count:
                raise kafka_wire.Refused(-1, "not yet")

    def test_a_paused_broker_is_silent_and_then_answers(self):
        with kafka.Broker() as broker, client(broker.bootstrap, timeout_s=0.3) as one:
            one.api_versions()
            broker.pause()
            with self.assertRaises(TimeoutError):
                one.api_versions()
            broker.resume()
            with client(broker.bootstrap) as other:
                other.api_versions()

    def test_nothing_is_left_when_a_test_fails(self):
        with self.assertRaises(ZeroDivisionError), kafka.Broker() as broker:
            pid, folder = broker.pid(), broker.folder
            raise ZeroDivisionError
        self.assertFalse(os.path.exists(folder))
        self.assertIsNone(kafka.kafka_process.started_at(pid))


def main():
    try:
        kafka.kafka_process.java()
        kafka.kafka_cluster.class_path()
    except kafka.kafka_process.Missing as missing:
        print(f"skipped: {missing}")
        sys.exit(kafka.SKIPPED)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that brokers end with the test
    unittest.main()


if __name__ == "__main__":
    main()
