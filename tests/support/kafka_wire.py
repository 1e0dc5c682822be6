"""A Kafka client of a hundred lines, for tests that must not trust the client library: one
connection, one request at a time, the oldest versions that brokers of release 4 still take.

    with Client("127.0.0.1", port) as client:
        client.create_topic("t", partitions=2)
        client.produce("t", 0, [b"one", b"two"])
        assert client.end_offset("t", 0) == 2
"""
import socket
import struct
import time

PRODUCE, LIST_OFFSETS, METADATA, SASL_HANDSHAKE, API_VERSIONS, CREATE_TOPICS = 0, 2, 3, 17, 18, 19
SASL_AUTHENTICATE = 36


class Refused(Exception):
    """The broker answered with this error code."""

    def __init__(self, code, text=""):
        super().__init__(f"error {code} {text or ''}")
        self.code = code


# -- bytes ----------------------------------------------------------------------------------------

def string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def array(parts):
    return struct.pack(">i", len(parts)) + b"".join(parts)


def blob(data):
    return struct.pack(">i", len(data)) + data


def varint(number):
    """Zigzag, seven bits a byte."""
    number = (number << 1) ^ (number >> 63)
    out = b""
    while number > 0x7f:
        out += bytes([number & 0x7f | 0x80])
        number >>= 7
    return out + bytes([number])


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def record(offset_delta, value):
    body = b"\0" + varint(0) + varint(offset_delta) + varint(-1) + varint(len(value)) + value
    body += varint(0)
    return varint(len(body)) + body


def record_batch(values):
    """Without keys, without a producer id, not compressed."""
    now_ms = int(time.time() * 1000)
    body = struct.pack(">hiqqqhi", 0, len(values) - 1, now_ms, now_ms, -1, -1, -1)
    body += array([record(delta, value) for delta, value in enumerate(values)])
    tail = struct.pack(">ibI", -1, 2, crc32c(body)) + body
    return struct.pack(">qi", 0, len(tail)) + tail


class Reader:
    """Takes an answer apart from left to right."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        values = struct.unpack_from(">" + layout, self.data, self.at)
        self.at += struct.calcsize(">" + layout)
        return values[0] if len(values) == 1 else values

    def bytes(self, count):
        self.at += count
        return self.data[self.at - count:self.at]

    def string(self):
        count = self.take("h")
        return None if count < 0 else self.bytes(count).decode()

    def array(self, element):
        return [element() for _ in range(self.take("i"))]

    def compact(self):
        """An unsigned varint: lengths of the newer formats, plus one."""
        shift = value = 0
        while True:
            byte = self.take("B")
            value |= (byte & 0x7f) << shift
            shift += 7
            if byte < 0x80:
                return value


# -- the client -----------------------------------------------------------------------------------

class Client:
    """`tls` is an ssl.SSLContext."""

    def __init__(self, host, port, timeout_s=15, tls=None):
        self.socket = socket.create_connection((host, port), timeout_s)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)
        self.correlation = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def receive(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise ConnectionError("connection closed")
            data += part
        return data

    def send(self, key, version, body, flexible=False):
        """Only sends; returns the correlation id."""
        self.correlation += 1
        header = struct.pack(">hhi", key, version, self.correlation) + string("leat-test")
        self.socket.sendall(blob(header + (b"\0" if flexible else b"") + body))
        return self.correlation

    def answer(self, correlation):
        reader = Reader(self.receive(struct.unpack(">i", self.receive(4))[0]))
        assert reader.take("i") == correlation, "an answer to another request"
        return reader

    def request(self, key, version, body):
        return self.answer(self.send(key, version, body))

    def api_versions(self):
        """{api key: (lowest, highest)}"""
        reader = self.request(API_VERSIONS, 0, b"")
        check(reader.take("h"))
        return {key: (low, high) for key, low, high in reader.array(lambda: reader.take("hhh"))}

    def features(self):
        """{feature: level} that the cluster was formatted or upgraded to."""
        correlation = self.send(API_VERSIONS, 3, b"\x05test\x021\0", flexible=True)
        reader = self.answer(correlation)
        check(reader.take("h"))
        for _ in range(reader.compact() - 1):
            reader.take("hhh")
            reader.compact()
        reader.take("i")
        found = {}
        for _ in range(reader.compact()):
            tag, size = reader.compact(), reader.compact()
            field = Reader(reader.bytes(size))
            if tag == 2:
                for _ in range(field.compact() - 1):
                    name = field.bytes(field.compact() - 1).decode()
                    found[name] = field.take("hh")[0]
                    field.compact()
        return found

    def create_topic(self, name, partitions=1, replicas=-1):
        topic = string(name) + struct.pack(">ih", partitions, replicas) + array([]) + array([])
        reader = self.request(CREATE_TOPICS, 2, array([topic]) + struct.pack(">i?", 10_000, False))
        reader.take("i")
        for _, code, text in reader.array(
                lambda: (reader.string(), reader.take("h"), reader.string())):
            check(code, text)

    def metadata(self):
        """({broker id: (host, port)}, {topic: [(leader, in-sync replicas) by partition]})"""
        reader = self.request(METADATA, 1, struct.pack(">i", -1))
        brokers = {}
        for number, host, port, _ in reader.array(lambda: (
                reader.take("i"), reader.string(), reader.take("i"), reader.string())):
            brokers[number] = (host, port)
        reader.take("i")
        topics = {}
        for _ in range(reader.take("i")):
            reader.take("h")
            name = reader.string()
            reader.take("?")
            rows = reader.array(lambda: (reader.take("hii"), reader.array(lambda: reader.take("i")),
                                         reader.array(lambda: reader.take("i"))))
            topics[name] = [(row[0][2], row[2]) for row in sorted(rows)]
        return brokers, topics

    @staticmethod
    def produce_body(topic, partition, values, acks=-1):
        rows = array([struct.pack(">i", partition) + blob(record_batch(values))])
        return struct.pack(">hhi", -1, acks, 10_000) + array([string(topic) + rows])

    def produce(self, topic, partition, values):
        """Returns the offset of the first."""
        reader = self.request(PRODUCE, 3, self.produce_body(topic, partition, values))
        reader.take("i")
        reader.string()
        reader.take("ii")
        check(reader.take("h"))
        return reader.take("q")

    def end_offset(self, topic, partition):
        rows = array([struct.pack(">iq", partition, -1)])
        body = struct.pack(">i", -1) + array([string(topic) + rows])
        reader = self.request(LIST_OFFSETS, 1, body)
        reader.take("i")
        reader.string()
        reader.take("ii")
        check(reader.take("h"))
        return reader.take("qq")[1]

    def log_in(self, user, password):
        """SASL PLAIN."""
        reader = self.request(SASL_HANDSHAKE, 1, string("PLAIN"))
        check(reader.take("h"))
        mechanisms = reader.array(reader.string)
        reader = self.request(SASL_AUTHENTICATE, 0, blob(f"\0{user}\0{password}".encode()))
        code = reader.take("h")
        check(code, reader.string())
        return mechanisms


def check(code, text=""):
    if code != 0:
        raise Refused(code, text)


def eventually(action, timeout_s=20):
    """Repeats what a broker that elects or restarts refuses for a moment."""
    until = time.monotonic() + timeout_s
    while True:
        try:
            return action()
        except (Refused, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
