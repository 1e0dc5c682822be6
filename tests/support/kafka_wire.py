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

PRODUCE, FETCH, LIST_OFFSETS, METADATA, SASL_HANDSHAKE, API_VERSIONS = 0, 1, 2, 3, 17, 18
DESCRIBE_GROUPS, DELETE_RECORDS = 15, 21
FIND_COORDINATOR, CREATE_TOPICS, INIT_PRODUCER_ID, ADD_PARTITIONS = 10, 19, 22, 24
END_TRANSACTION, SASL_AUTHENTICATE = 26, 36
TRANSACTIONAL = 0x10  # attribute of a record batch
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


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


def record_batch(values, producer=None, sequence=-1):
    """Without keys, not compressed; with `producer`, part of its transaction."""
    now_ms = int(time.time() * 1000)
    number, epoch = (producer.number, producer.epoch) if producer else (-1, -1)
    body = struct.pack(">hiqqqhi", TRANSACTIONAL if producer else 0, len(values) - 1, now_ms,
                       now_ms, number, epoch, sequence)
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

    def zigzag(self):
        number = self.compact()
        return (number >> 1) ^ -(number & 1)


def batches(data):
    """(base offset, attributes, producer id, number of records, their bytes), complete ones."""
    at = 0
    while len(data) - at > 61:
        base, size = struct.unpack_from(">qi", data, at)
        if len(data) - at < 12 + size:
            return
        attributes, = struct.unpack_from(">h", data, at + 21)
        producer, = struct.unpack_from(">q", data, at + 43)
        count, = struct.unpack_from(">i", data, at + 57)
        yield base, attributes, producer, count, data[at + 61:at + 12 + size]
        at += 12 + size


def values_of(count, data):
    reader = Reader(data)
    for _ in range(count):
        reader.zigzag(), reader.take("b"), reader.zigzag(), reader.zigzag()
        reader.bytes(max(0, reader.zigzag()))
        yield reader.bytes(max(0, reader.zigzag()))
        for _ in range(reader.zigzag()):
            reader.bytes(reader.zigzag()), reader.bytes(max(0, reader.zigzag()))


def visible_values(data, aborted, stable):
    """An aborted transaction of a producer begins at the offset named, and ends with a marker."""
    begins, inside, found = {}, set(), []
    for producer, first in aborted:
        begins.setdefault(producer, []).append(first)
    for base, attributes, producer, count, records in batches(data):
        if base >= stable:
            break
        if attributes & 0x20:  # a marker
            inside.discard(producer)
        elif attributes & TRANSACTIONAL and base in begins.get(producer, ()):
            inside.add(producer)
        if not attributes & 0x20 and producer not in inside:
            found += values_of(count, records)
    return found


class Producer:
    """A transactional producer as the broker knows it: name, number, epoch, sequences."""

    def __init__(self, name, number, epoch):
        self.name, self.number, self.epoch, self.sequences = name, number, epoch, {}

    def bytes(self):
        return string(self.name) + struct.pack(">qh", self.number, self.epoch)

    def next_sequence(self, topic, partition, count):
        first = self.sequences.get((topic, partition), 0)
        self.sequences[topic, partition] = first + count
        return first


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

    def create_topic(self, name, partitions=1, replicas=-1, **settings):
        """`settings` with underscores for dots: compression_type="zstd"."""
        rows = [string(key.replace("_", ".")) + string(value) for key, value in settings.items()]
        topic = string(name) + struct.pack(">ih", partitions, replicas) + array([]) + array(rows)
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

    def produce(self, topic, partition, values, producer=None):
        """Returns the offset of the first."""
        sequence = producer.next_sequence(topic, partition, len(values)) if producer else -1
        batch = blob(record_batch(values, producer, sequence))
        name = string(producer.name) if producer else struct.pack(">h", -1)
        rows = array([struct.pack(">i", partition) + batch])
        reader = self.request(PRODUCE, 3, name + struct.pack(">hi", -1, 10_000)
                              + array([string(topic) + rows]))
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

    def delete_records(self, topic, partition, before):
        """The partition begins at offset `before` then, as after retention."""
        rows = array([struct.pack(">iq", partition, before)])
        reader = self.request(DELETE_RECORDS, 0, array([string(topic) + rows])
                              + struct.pack(">i", 10_000))
        reader.take("ii")
        reader.string()
        reader.take("iiq")
        check(reader.take("h"))

    def fetch(self, topic, partition):
        """(last stable offset, aborted transactions, batches) from the beginning"""
        rows = array([struct.pack(">iqi", partition, 0, 1 << 20)])
        body = struct.pack(">iiiib", -1, 0, 0, 1 << 20, 1) + array([string(topic) + rows])
        reader = self.request(FETCH, 4, body)
        reader.take("ii"), reader.string(), reader.take("ii")
        check(reader.take("h"))
        _, stable = reader.take("qq")
        aborted = reader.array(lambda: reader.take("qq"))
        return stable, aborted, reader.bytes(reader.take("i"))

    def committed(self, topic, partition):
        """(last stable offset, values that a read_committed reader sees from the beginning)"""
        stable, aborted, data = self.fetch(topic, partition)
        return stable, visible_values(data, aborted, stable)

    def codecs(self, topic, partition):
        """Names of how its first batches are compressed."""
        return {CODECS[attributes & 7] for _, attributes, *_ in
                batches(self.fetch(topic, partition)[2])}

    def group(self, name):
        """(state, ids of its members), of the broker that coordinates it."""
        reader = self.request(DESCRIBE_GROUPS, 0, array([string(name)]))
        reader.take("i")
        check(reader.take("h"))
        reader.string()
        state, _, _ = reader.string(), reader.string(), reader.string()
        members = reader.array(lambda: (reader.string(), reader.string(), reader.string(),
                                        reader.bytes(reader.take("i")),
                                        reader.bytes(reader.take("i"))))
        return state, [member[0] for member in members]

    # -- transactions, as clients do them that know nothing of KIP-890 ----------------------------

    def init_producer(self, name, timeout_ms=60_000):
        """Of one broker, which is the coordinator of all; asking for it makes its topic."""
        self.request(FIND_COORDINATOR, 1, string(name) + b"\1")
        reader = self.request(INIT_PRODUCER_ID, 0, string(name) + struct.pack(">i", timeout_ms))
        reader.take("i")
        check(reader.take("h"))
        return Producer(name, *reader.take("qh"))

    def add_partition(self, producer, topic, partition):
        rows = array([string(topic) + array([struct.pack(">i", partition)])])
        reader = self.request(ADD_PARTITIONS, 0, producer.bytes() + rows)
        reader.take("ii"), reader.string(), reader.take("ii")
        check(reader.take("h"))

    def end_transaction(self, producer, commit=True):
        reader = self.request(END_TRANSACTION, 0, producer.bytes() + struct.pack(">?", commit))
        reader.take("i")
        check(reader.take("h"))

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
