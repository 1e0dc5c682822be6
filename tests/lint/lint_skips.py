"""The report after a test run finds each skipped test and case, and in CI it fails for one that
tests/skips.txt does not list."""
import contextlib
import io
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tools"))
sys.dont_write_bytecode = True

import test_report  # noqa: E402

PYTHON_TEST = """
import unittest
class Case(unittest.TestCase):
    def test_a(self):
        self.skipTest("no moon")
    def test_b(self):
        pass
unittest.main()
"""
CMAKE = f"""
cmake_minimum_required(VERSION 3.25)
project(skips NONE)
enable_testing()
add_test(NAME whole COMMAND sh -c "echo skipped: no sun; exit 77")
add_test(NAME cases COMMAND sh -c
         "seq 2000; echo '[  SKIPPED ] suite: one'; echo '[  SKIPPED ] two'")
add_test(NAME script COMMAND {sys.executable} {ROOT}/tests/support/announce_skips.py
         ${{CMAKE_SOURCE_DIR}}/case.py)
add_test(NAME sound COMMAND true)
set_tests_properties(whole cases script sound PROPERTIES LABELS unit SKIP_RETURN_CODE 77)
"""
FOUND = {"whole: skipped: no sun", "cases one: no reason given", "cases two: no reason given",
         "script Case.test_a: no moon"}
ALL = "whole * * w\ncases one * w\ncases two other,p w\nscript * p w\n"


def report(folder, listed, ci):
    """(exit status, the skips that it complains about, all it says)"""
    with open(os.path.join(folder, "tests", "skips.txt"), "w", encoding="ascii") as file:
        file.write("# a comment\n\n" + listed)
    os.environ["CI"] = "true" if ci else ""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = test_report.main("p")
    lines = said.getvalue().splitlines()
    return status, {line.removeprefix("skipped: ") for line in lines
                    if line.startswith("skipped: ") and "lists" not in line}, said.getvalue()


def main():
    with tempfile.TemporaryDirectory(prefix="leat-skips-") as folder:
        build = os.path.join(folder, "build", "p")
        os.mkdir(os.path.join(folder, "tests"))
        for name, content in (("CMakeLists.txt", CMAKE), ("case.py", PYTHON_TEST)):
            with open(os.path.join(folder, name), "w", encoding="ascii") as file:
                file.write(content)
        subprocess.run(["cmake", "-S", folder, "-B", build], check=True, capture_output=True)
        subprocess.run(["ctest", "--test-dir", build, "--test-output-size-passed", "1000000",
                        "--output-junit", "tests.xml"], check=True, capture_output=True)
        test_report.ROOT = folder
        for listed, ci, status, complaints in (
                ("", True, 1, FOUND), ("", False, 0, FOUND), (ALL, True, 0, set()),
                (ALL.replace("cases one", "cases none"), True, 1, {"cases one: no reason given"}),
                (ALL.replace("other,p", "other"), True, 1, {"cases two: no reason given"})):
            got = report(folder, listed, ci)
            assert got[:2] == (status, complaints), got
        status, _, said = report(folder, ALL + "gone * * w\n", False)
        assert status == 1 and "skips.txt:7: there is no test gone" in said, said
        status, _, said = report(folder, ALL + "whole *\n", False)
        assert status == 1 and "skips.txt:7: a line is TEST CASE PRESETS REASON" in said, said
        assert "minutes: p: unit: 0.0 (4 tests)" in said, said
    print("each skip is found")


main()
