"""docs/exit-codes.md is LEAT_STATUS_MAP: every status with its code, and no other."""
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import tool  # noqa: E402


def text(name):
    with open(os.path.join(tool.SOURCE, name), encoding="utf-8") as file:
        return file.read()


class ExitCodes(unittest.TestCase):
    def test_the_table_is_the_header(self):
        header = {(int(code), "LEAT_" + name) for name, code in
                  re.findall(r'X\((E?[A-Z]+), "[^"]+", (\d+)\)', text("include/leat/base.h"))}
        table = set()
        for line in text("docs/exit-codes.md").splitlines():
            row = re.match(r"\| (\d+) \| ([^|]+) \|", line)
            for name in re.findall(r"`(\w+)`", row.group(2)) if row else []:
                table.add((int(row.group(1)), name))
        self.assertGreater(len(header), 15)
        self.assertEqual(table, header)


if __name__ == "__main__":
    unittest.main()
