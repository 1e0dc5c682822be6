"""Kafka brokers for tests: one of the test's own to kill and fault, or the one that all share.

    with kafka.Broker(brokers=3) as broker:
        tool.run("leat", "topics", "--log", broker.log)
        broker.kill(2)
        broker.restart(2)
"""
import os
import shutil
import signal
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tools", "kafka.d"))

import kafka_cluster  # noqa: E402
import kafka_process  # noqa: E402

SKIPPED = 77
Problem = kafka_process.Problem


def shared():
    """host:port of the broker of this test run; without one the test is skipped.  Other tests use
    it too: take topic, group and transaction names of your own."""
    try:
        with open(os.environ["LEAT_TEST_KAFKA_FILE"], encoding="ascii") as file:
            return file.read().strip()
    except (KeyError, OSError):
        print("skipped: no broker (LEAT_TEST_KAFKA_FILE; run through ctest, or `make setup`)")
        sys.exit(SKIPPED)


class Broker:
    """A cluster of its own in a temporary folder: started on entry, gone after exit.  Without Java
    or the jars the test is skipped.  `asked` is what tools/kafka start takes: brokers,
    heap, compiler, transaction_version, delay_rebalance_ms, settings={}, sasl, tls,
    advertise=[port]."""

    def __init__(self, folder=None, port=0, **asked):
        self.owned = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="leat-kafka-")
        self.cluster = kafka_cluster.Cluster(self.folder)
        self.port, self.asked = port, {"compiler": "quick", **asked}

    def __enter__(self):
        try:
            return self.start()
        except kafka_process.Missing as missing:
            print(f"skipped: {missing}")
            shutil.rmtree(self.folder, ignore_errors=True)
            sys.exit(SKIPPED)
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()

    def start(self):
        """Also after `stop`: same ports, same data."""
        known = self.cluster.plan is not None
        self.cluster.start(None if known else self.port, **({} if known else self.asked))
        return self

    def stop(self):
        self.cluster.stop()

    def kill(self, number=1):
        """SIGKILL, as a crash."""
        self.cluster.kill(number)

    def restart(self, number=1):
        self.cluster.restart(number)

    def pause(self, number=1):
        """SIGSTOP: connections stay, nothing answers."""
        kafka_process.pause(self.pid(number))

    def resume(self, number=1):
        os.kill(self.pid(number), signal.SIGCONT)

    def close(self):
        self.cluster.destroy() if self.owned else self.cluster.stop()

    def pid(self, number=1):
        return self.cluster.pid(number)

    def bootstrap_of(self, listener):
        """PLAINTEXT, SASL_PLAINTEXT, SSL, SASL_SSL, PROXY."""
        return self.cluster.bootstrap(listener)

    @property
    def bootstrap(self):
        return self.cluster.bootstrap()

    @property
    def log(self):
        """What --log takes."""
        return f"kafka:{self.bootstrap}"

    def describe(self):
        return self.cluster.describe()
