"""Words that must not be in the repository: open ends, paths of one machine, package hosts."""
import re

from sources import Problems, files, lines

# Put together here so that this file does not find itself.
OPEN_ENDS = re.compile(r"\b(" + "|".join(("TO" "DO", "FIX" "ME", "X" "XX")) + r")\b")
MACHINE_PATHS = re.compile(r"(?<![\w.:/-])/(?:" + "|".join(("wo" "rk", "ho" "me", "ro" "ot",
                                                            "Us" "ers")) + r")/\w")
HOSTS = re.compile("|".join(re.escape(host) for host in (
    "registry.npm" "js.org", "py" "pi.org", "files.python" "hosted.org", "repo1.ma" "ven.org",
    "repo.ma" "ven.apache.org", "static.cra" "tes.io", "deb.deb" "ian.org", "proxy.go" "lang.org",
    "ruby" "gems.org")))
RULES = (
    (OPEN_ENDS, "an open end: do it, or write a sentence about the limit in the documents"),
    (MACHINE_PATHS, "a path of one machine: use a relative path or a variable"),
    (HOSTS, "a package host: name the package and let its client find the host"),
)
BINARY = (".gz", ".zst", ".xz", ".png", ".jpg", ".svg", ".bin", ".tsv", ".csv")


def main():
    problems = Problems("see each line")
    names = [name for name in files("*") if not name.endswith(BINARY)
             and not name.startswith("tests/fuzz/corpus/")]
    for name in names:
        for number, line in lines(name):
            for pattern, message in RULES:
                found = pattern.search(line)
                if found:
                    problems.add(name, number, f"'{found.group()}' is {message}")
    problems.finish(f"{len(names)} files")


main()
