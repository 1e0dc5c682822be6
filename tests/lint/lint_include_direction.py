"""Include direction: a folder of src/ includes only itself and what CMakeLists.txt says it
depends on; drivers' own headers and third-party headers stay where they belong."""
import re

from sources import Problems, files, lines, text

# src/LAYER may stand on these, and nothing else: the order of ARCHITECTURE.md.
BELOW = {
    "base": "", "record": "base", "time": "record", "state": "record", "log": "record",
    "observe": "base", "model": "base", "window": "time state log", "ops": "window", "graph": "ops",
    "engine": "graph observe", "testing": "engine", "connect": "engine",
}
THIRD_PARTY = {
    "rocksdb/": ("src/state/", "src/log/", "src/base/rocksdb_"),
    "simdjson.h": ("src/record/",),
    "microhttpd.h": ("src/observe/", "apps/"),
    "curl/": ("src/connect/", "apps/", "bench/"),
    "librdkafka/": ("src/log/kafka/",),
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def closure(layer, below):
    seen = {layer}
    open_layers = [layer]
    while open_layers:
        for lower in below.get(open_layers.pop(), "").split():
            if lower not in seen:
                seen.add(lower)
                open_layers.append(lower)
    return seen


def check_build(problems):
    """The DEPENDS lists of the build may not allow more than the order does."""
    for number, line in lines("CMakeLists.txt"):
        layer = re.match(r"leat_layer\((\w+)", line)
        depends = re.search(r"DEPENDS ([a-z ]+)", line)
        for lower in depends.group(1).split() if layer and depends else []:
            if lower not in closure(layer.group(1), BELOW):
                problems.add("CMakeLists.txt", number, f"{layer.group(1)} may not stand on {lower}")


def check_own(problems, name, number, target):
    """An include of one of our internal headers: "LAYER/[DRIVER/]x.h"."""
    parts = target.split("/")
    home = name.split("/")
    if len(parts) == 1:
        if not name.startswith(("tests/", "bench/", "examples/")):
            problems.add(name, number, f'"{target}": name the folder too, as in "base/arena.h"')
        return
    layer = parts[0]
    if layer not in BELOW:
        if home[0] == "src" and layer != "leat":
            problems.add(name, number, f'"{target}": src/ has no such layer')
        return
    if home[0] == "src" and layer not in closure(home[1], BELOW):
        problems.add(name, number, f'src/{home[1]} may not include "{target}"')
    driver = f"src/{layer}/{parts[1]}/"
    if len(parts) == 3 and home[0] != "tests" and not name.startswith(driver):
        problems.add(name, number, f'"{target}" belongs to {driver} alone; use its table in '
                                   f"src/{layer}/")


def check_file(problems, name):
    for number, line in lines(name):
        found = INCLUDE.match(line)
        if not found:
            continue
        quote, target = found.groups()
        for prefix, homes in THIRD_PARTY.items():
            if target.startswith(prefix) and not name.startswith(homes + ("tests/",)):
                problems.add(name, number, f"<{target}> is used only in {', '.join(homes)}")
        if quote == '"':
            check_own(problems, name, number, target)
        elif name.startswith("examples/") and not target.startswith("leat/") and "/" in target:
            problems.add(name, number, "examples use the public headers and the C library only")


def main():
    problems = Problems("move the code to the layer that may know it, or hand it in through a "
                        "table of functions from above")
    check_build(problems)
    checked = files("src/*.[ch]", "src/*.cc", "apps/*.[ch]", "examples/*.c", "include/*.h")
    for name in checked:
        if name.startswith("include/") and re.search(r'#\s*include\s*"', text(name)):
            problems.add(name, 1, "public headers include <leat/x.h>, never internal ones")
            continue
        check_file(problems, name)
    problems.finish(f"{len(checked)} files")


main()
