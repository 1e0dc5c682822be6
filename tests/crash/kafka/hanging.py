"""Transactions that a broker left open for ever, by what it says itself.

    12:00:00.000 ... Couldn't find leader endpoint for partitions HashSet(w0-out-2, w0-out-3)
    while trying to send transaction markers for w0-job/a, these partitions are likely deleted ...

A broker of release 4.3.1 that starts again forgets the markers of transactions whose partitions
have no leader yet, and writes such a line: readers of committed records wait there for ever.  It
counts for what it names and nothing else: a transaction that stays open elsewhere is the job's.
"""
import re

SAYS = re.compile(r"Couldn't find leader endpoint for partitions \w*[(\[](.*?)[)\]] while trying "
                  r"to send transaction markers for (.+?), ")


def forgotten(lines, prefix):
    """The partitions, as TOPIC-NUMBER, whose markers were given up, of the transactions whose ids
    begin with the prefix."""
    found = set()
    for line in lines:
        said = SAYS.search(line)
        if said and said.group(2).startswith(prefix):
            found |= set(said.group(1).split(", "))
    return found


def lines_of(paths):
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            yield from file


def still_open(before, after):
    """Each {TOPIC-NUMBER: (stable, end)}, some time apart: where nothing became stable."""
    return {place for place, (stable, end) in before.items()
            if stable < end and place in after and after[place][0] == stable < after[place][1]}


def is_the_brokers(places, lines, prefix):
    """All of what hangs is what the broker says it gave up."""
    return bool(places) and places <= forgotten(lines, prefix)
