"""An iterator of RocksDB ends with leat__iterator_end(): only it tells an I/O error from the end of
the keys, and its answer can't be dropped."""
import re

from sources import Problems, files, lines

HOME = "src/base/rocksdb_iterator.h"
ENDS = re.compile(r"\brocksdb_iter_(destroy|get_error)\b")


def main():
    problems = Problems(f"use leat__iterator_end() of {HOME}, and return what it says")
    checked = [name for name in files("src/*.[ch]", "src/*.cc", "apps/*.[ch]", "apps/*.cc")
               if name != HOME]
    for name in checked:
        for number, line in lines(name):
            found = ENDS.search(line)
            if found:
                problems.add(name, number, f"{found.group()}() outside of {HOME}")
    problems.finish(f"{len(checked)} files")


main()
