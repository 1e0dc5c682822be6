"""A broker's log files, read without a broker: record batches and transaction markers.

    batch header, big endian (KIP-98): 0 base offset 8 | 8 length 4 | 16 magic 1 |
    21 attributes 2 | 23 last offset delta 4 | 43 producer id 8 | 51 producer epoch 2 |
    53 base sequence 4 | 57 count 4
    a control batch's record: length, attributes, two deltas, key length, key = version 2, type 2
"""
import glob
import os
import struct

HEADER_BYTES = 61
TRANSACTIONAL, CONTROL, CODEC = 0x10, 0x20, 0x07


def varint_end(data, at):
    while data[at] & 0x80:
        at += 1
    return at + 1


def marker_of(batch):
    """What a control batch says: COMMIT or ABORT."""
    at = varint_end(batch, HEADER_BYTES) + 1  # record length, attributes
    for _ in range(3):                        # two deltas, the key's length
        at = varint_end(batch, at)
    return {0: "ABORT", 1: "COMMIT"}.get(struct.unpack_from(">h", batch, at + 2)[0], "?")


def batches_of_file(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at + HEADER_BYTES <= len(data):
        base, length = struct.unpack_from(">qi", data, at)
        if length <= 0 or at + 12 + length > len(data):
            break  # preallocated, or just being written
        attributes, last_delta = struct.unpack_from(">hi", data, at + 21)
        producer, epoch, sequence, count = struct.unpack_from(">qhii", data, at + 43)
        batch = {"first": base, "last": base + last_delta, "producer": producer, "epoch": epoch,
                 "sequence": sequence, "records": count,
                 "kind": "plain" if not attributes & TRANSACTIONAL else "transactional"}
        if attributes & CONTROL:
            batch["kind"] = marker_of(data[at:at + 12 + length])
        yield batch
        at += 12 + length


def batches(folders, topic, partition):
    """In offset order; of several brokers' folders, the first that has the partition."""
    for folder in folders:
        files = sorted(glob.glob(os.path.join(folder, f"{topic}-{partition}", "*.log")))
        if files:
            return [batch for path in files for batch in batches_of_file(path)]
    return []


def text_of(batch):
    return (f"  {batch['first']:>9} .. {batch['last']:<9} {batch['kind']:<13} producer "
            f"{batch['producer']} epoch {batch['epoch']} sequence {batch['sequence']} "
            f"({batch['records']} records)")


def around(folders, topic, partition, offset=None, before=12, after=6):
    """The batches about an offset (None: the last ones), for people."""
    found = batches(folders, topic, partition)
    at = len(found) if offset is None else next(
        (i for i, batch in enumerate(found) if batch["last"] >= offset), len(found))
    shown = found[max(0, at - before):at + after]
    return "\n".join([f"{topic}/{partition}, {len(found)} batches, about offset {offset}:",
                      *map(text_of, shown)])
