"""Sizes: functions of at most 70 lines, files of at most 800, 100 columns, examples of at most
100 lines; a .c file over 150 lines opens by saying what it is."""
import os
import re
import shutil
import subprocess

from sources import ROOT, Problems, files, lines, skip, text

FUNCTION_LINES = 70
FILE_LINES = 800
EXAMPLE_LINES = 100
OPENING_LINES = 150
COLUMNS = 100


def check_functions(problems, names):
    ctags = subprocess.run(
        ["ctags", "-f", "-", "--excmd=number", "--fields=+ne", "--kinds-C=f", "--kinds-C++=f",
         "--kinds-Python=fm", *[name for name in names if not name.endswith(".sh")]],
        cwd=ROOT, capture_output=True, check=True, text=True)
    for line in ctags.stdout.splitlines():
        if line.startswith("!"):
            continue
        function, name, *rest = line.split("\t")
        fields = dict(part.split(":", 1) for part in rest if ":" in part)
        if "end" in fields:
            check_length(problems, name, function, int(fields["line"]), int(fields["end"]))


def check_length(problems, name, function, first, last):
    length = last - first + 1
    if length > FUNCTION_LINES:
        problems.add(name, first, f"{function}() has {length} lines, at most {FUNCTION_LINES}")


def check_shell_functions(problems, name):
    """ctags does not know where a shell function ends: at the first brace in column one."""
    opened = None
    for number, line in lines(name):
        start = re.match(r"(\w+)\(\) *\{", line)
        if start:
            opened = (start.group(1), number)
        if opened and (line.startswith("}") or line.endswith("; }")):
            check_length(problems, name, opened[0], opened[1], number)
            opened = None


def check_file(problems, name):
    content = text(name).splitlines()
    if len(content) > FILE_LINES:
        problems.add(name, FILE_LINES, f"{len(content)} lines, at most {FILE_LINES}")
    if re.match(r"examples/.*\.c$", name) and len(content) > EXAMPLE_LINES:
        problems.add(name, EXAMPLE_LINES, f"{len(content)} lines, an example has at most "
                                          f"{EXAMPLE_LINES}")
    if name.endswith(".c") and len(content) > OPENING_LINES and not content[0].startswith("/*"):
        problems.add(name, 1, f"over {OPENING_LINES} lines: open with what it is and a drawing")
    for number, line in lines(name):
        if len(line) > COLUMNS:
            problems.add(name, number, f"{len(line)} columns, at most {COLUMNS}")
    if name.endswith(".sh"):
        check_shell_functions(problems, name)


def main():
    if not shutil.which("ctags"):
        skip("universal-ctags is not installed (make setup)")
    problems = Problems("split the function or file at a name that explains itself; put a long "
                        "trailing comment on the line above, then `make fmt`")
    names = files("*.c", "*.h", "*.cc", "*.py", "*.sh")
    check_functions(problems, names)
    for name in names:
        check_file(problems, name)
    problems.finish(f"{len(names)} files")


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
