"""Release programs: hardened, stripped, RocksDB inside, and leat-recommender at most 11 MiB."""
import os
import subprocess

from sources import BIN, Problems, skip

SIZE_MAX_BYTES = {"leat-recommender": 11 << 20}
OUTSIDE = ("librocksdb", "libmicrohttpd", "libsnappy", "liblz4", "libgflags", "libbz2", "libleat")


def readelf(*arguments):
    return subprocess.run(["readelf", "-W", *arguments], capture_output=True, text=True,
                          check=True).stdout


def check_program(problems, name):
    path = os.path.join(BIN, name)
    segments = readelf("-l", path)
    dynamic = readelf("-d", path)
    stack = next((line for line in segments.splitlines() if "GNU_STACK" in line), "RWE")
    facts = (
        ("PIE" in dynamic, "is not position independent"),
        ("BIND_NOW" in dynamic and "GNU_RELRO" in segments, "has no full RELRO"),
        ("RWE" not in stack, "has an executable stack"),
        (".symtab" not in readelf("-S", path), "is not stripped"),
        ("__stack_chk_fail" in readelf("--dyn-syms", path), "has no stack protector"),
    )
    for holds, message in facts:
        if not holds:
            problems.add(name, 0, message)
    for line in dynamic.splitlines():
        if "NEEDED" in line and any(library in line for library in OUTSIDE):
            problems.add(name, 0, f"needs {line.split()[-1]} at run time")
    size = os.path.getsize(path)
    if size > SIZE_MAX_BYTES.get(name, size):
        problems.add(name, 0, f"{size} bytes, at most {SIZE_MAX_BYTES[name]}")
    return size


def main():
    programs = [name for name in (os.listdir(BIN) if os.path.isdir(BIN) else [])
                if name in ("leat", "leat-recommender")]
    if not programs:
        skip(f"no programs in {BIN}")
    problems = Problems("build programs with leat_program() (cmake/LeatLayers.cmake)")
    sizes = [f"{name} {check_program(problems, name)} bytes" for name in sorted(programs)]
    problems.finish(", ".join(sizes))


main()
