"""announce_skips.py TEST.py - runs a test so that each case it skips is a line of its output, as
cmocka writes it: `[  SKIPPED ] Class.test -- reason`.  tools/test_report.py looks for them."""
import os
import runpy
import sys
import unittest


class Result(unittest.TextTestResult):
    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        name = test.id().removeprefix("__main__.")
        # on a line of its own, after the dots that unittest prints
        print(f"\n[  SKIPPED ] {name} -- {reason}", file=sys.stderr, flush=True)


unittest.TextTestRunner.resultclass = Result
del sys.argv[0]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
