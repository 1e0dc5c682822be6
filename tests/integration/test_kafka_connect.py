"""Connecting to Kafka: with and without the right credentials and certificates, and to nobody.
Each failure is one line with a remedy and an exit code of its own; none shows a secret."""
import os
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import kafka  # noqa: E402
import tool  # noqa: E402

UNREACHABLE, REFUSED, WRONG = 69, 77, 64
SECRET = "correct-horse"


def fails(url, expect, *words, env=None):
    done = tool.run("leat", "topics", "--log", url, expect=expect, env=env)
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, f"{url}: one line, not {lines}"
    for word in words:
        assert word in lines[0], f"{url}: '{lines[0]}' does not say '{word}'"
    assert SECRET not in done.stderr + done.stdout, lines


def works(url, env=None):
    """A topic, a record in and out."""
    tool.run("leat", "topics", "--log", url, "--create", "connect", expect=None, env=env)
    tool.run("leat", "produce", "--log", url, "--raw", "connect", stdin=b"hello\n", env=env)
    done = tool.run("leat", "consume", "--log", url, "--until-end", "--max", "1", "connect",
                    env=env)
    assert "hello" in done.stdout, done


def nobody_there():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    begun = time.monotonic()
    fails(f"kafka:127.0.0.1:{port}?leat.connect.timeout.ms=700", UNREACHABLE, "refused", str(port))
    assert time.monotonic() - begun < 20
    fails("kafka:no-such-host.invalid:9092?leat.connect.timeout.ms=700", UNREACHABLE,
          "no-such-host.invalid", "name")


def silent_one():
    """Somebody listens and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        fails(f"kafka:127.0.0.1:{listener.getsockname()[1]}?leat.connect.timeout.ms=700",
              UNREACHABLE, "running")


def credentials(broker):
    servers = broker.bootstrap_of("SASL_PLAINTEXT")
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        url = f"kafka:{servers}?security.protocol=SASL_PLAINTEXT&sasl.mechanism={mechanism}"
        works(f"{url}&sasl.username=ada&sasl.password={SECRET}")
        fails(f"{url}&sasl.username=ada&sasl.password={SECRET}x", REFUSED, "sasl.password")
    fails(f"kafka:{servers}?security.protocol=SASL_PLAINTEXT&sasl.mechanism=PLAIN"
          f"&sasl.username=ada&sasl.pasword={SECRET}", WRONG, "sasl.pasword")


def certificates(broker):
    servers = broker.bootstrap_of("SASL_SSL")
    with tempfile.NamedTemporaryFile("w", suffix=".properties") as file:
        file.write("# secrets stay off the command line\nsecurity.protocol=SASL_SSL\n"
                   f"sasl.mechanism=SCRAM-SHA-512\nsasl.username=ada\nsasl.password={SECRET}\n"
                   f"ssl.ca.location={broker.describe()['tls']['ca']}\n")
        file.flush()
        works(f"kafka:{servers}?config={file.name}")
        works(f"kafka:{servers}", env={"LEAT_KAFKA_CONFIG": file.name})
        fails(f"kafka:{servers}?config={file.name}&sasl.username=bob", REFUSED, "sasl.username")
    fails(f"kafka:{broker.bootstrap_of('SSL')}?security.protocol=SSL", REFUSED, "ssl.ca.location")
    fails(f"kafka:{broker.bootstrap_of('SSL')}?leat.connect.timeout.ms=1500", UNREACHABLE,
          "security.protocol")


def main():
    tool.program("leat")
    nobody_there()
    silent_one()
    with kafka.Broker(sasl=f"ada:{SECRET}", tls=True) as broker:
        credentials(broker)
        certificates(broker)


if __name__ == "__main__":
    main()
