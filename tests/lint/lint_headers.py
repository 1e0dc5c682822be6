"""Headers stand alone: the public ones as C11, C17 and C++20 with nothing but include/, the
internal ones as C17."""
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

from sources import ROOT, Problems, files

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", "-D_GNU_SOURCE"]
INTERNAL = ["-Isrc", "-isystem", "build/deps/rdkafka/include"] # or the distribution's librdkafka
CC = os.environ.get("CC", "gcc")
CXX = os.environ.get("CXX", "g++")
PUBLIC = [(CC, "c", "c11"), (CC, "c", "c17"), (CXX, "c++", "c++20")]
if shutil.which("clang-14"):
    PUBLIC += [("clang-14", "c", "c11"), ("clang++-14", "c++", "c++20")]


def compile_alone(job):
    name, folder, (compiler, language, standard) = job
    inside = INTERNAL if folder == "src" else []
    source = f'#include "{os.path.relpath(name, folder)}"\nint leat_not_empty;\n'
    done = subprocess.run(
        [compiler, "-x", language, f"-std={standard}", *WARNINGS, "-Iinclude", *inside, "-"],
        input=source.encode(), capture_output=True, check=False, cwd=ROOT)
    return name, f"{compiler} -std={standard}", done.returncode, done.stderr.decode()


def main():
    problems = Problems("include in the header what it uses; C++ also needs extern \"C\"")
    jobs = [(name, "include", how) for name in files("include/leat/*.h") for how in PUBLIC]
    jobs += [(name, "src", PUBLIC[1]) for name in files("src/*.h")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, how, status, output in pool.map(compile_alone, jobs):
            if status != 0:
                first = next((line for line in output.splitlines() if "error" in line), output)
                problems.add(name, 1, f"does not stand alone with {how}: {first}")
    problems.finish(f"{len(jobs)} compilations")


main()
