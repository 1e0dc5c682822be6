"""The lint tests can fail: each one is shown a small tree with one mistake and has to find it.  The
same mistake in a file that git does not track is nobody's business."""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
RULES = "| N5 | now | late |\n| R1 | later | doubt |\n"
SOUND = {
    "CMakeLists.txt": "leat_layer(base)\nleat_layer(record DEPENDS base)\n",
    "include/leat/base.h": "typedef int leat_number;\n",
    "src/base/mem.h": "int leat__number(void);\n",
    "src/record/type.c": '#include "base/mem.h"\n/* N5 */\n',
    "docs/semantics.md": "# Semantics\n" + RULES,
    "docs/exactly-once.md": "see [semantics](semantics.md#semantics)\n",
    "README.md": "<!-- test -->\n```sh\necho 1 two\n```\n<!-- output -->\n```text\n1 ...\n```\n",
    "tests/unit/time/test_late.c": "/* N5 */\n",
}
# (lint, file, content that replaces it, what the message must say)
MISTAKES = (
    ("include_direction", "src/base/mem.h", '#include "record/type.h"\n',
     "mem.h:1: src/base may not"),
    ("include_direction", "src/record/type.c", '#include "log/kafka/api.h"\n',
     "belongs to src/log/kafka"),
    ("include_direction", "src/record/type.c", "#include <rocksdb/c.h>\n",
     "type.c:1: <rocksdb/c.h>"),
    ("iterators", "src/record/type.c", "rocksdb_iter_destroy(iterator);\n",
     "type.c:1: rocksdb_iter_destroy()"),
    ("include_direction", "CMakeLists.txt", "leat_layer(base DEPENDS log)\n", "CMakeLists.txt:1"),
    ("headers", "include/leat/base.h", "uint32_t leat_x(void);\n",
     "base.h:1: does not stand alone"),
    ("headers", "include/leat/base.h", "typedef int class;\n", "c++20"),
    ("sizes", "src/record/type.c", "int x; /*" + 100 * "a" + "*/\n", "type.c:1: 111 columns"),
    ("sizes", "src/record/type.c", "int f(void)\n{\n" + 70 * "\n" + "return 1; }\n",
     "f() has 73 lines"),
    ("sizes", "tools/a.sh", "f() {\n" + 80 * ":\n" + "}\n", "f() has 82 lines"),
    ("sizes", "src/record/type.c", 801 * "\n", "801 lines"),
    ("sizes", "examples/a.c", 101 * "\n", "an example has"),
    ("rule_tags", "tests/unit/time/test_late.c", "/* N1-N5 */\n",
     "semantics.md:2: N5 is marked 'now'"),
    ("rule_tags", "src/record/type.c", "/* R7 */\n", "type.c:1: R7 is in no document"),
    ("words", "src/record/type.c", "/* TO" "DO */\n", "type.c:1: "),
    ("words", "README.md", "cd /ho" "me/ada/leat\n", "README.md:1: "),
    ("doc_links", "README.md", "[a](docs/none.md)\n", "README.md:1: docs/none.md"),
    ("doc_links", "README.md", "[a](docs/semantics.md#none)\n", "no such heading"),
    ("doc_commands", "README.md", "<!-- test -->\n```sh\nfalse\n```\n",
     "README.md:3: exit status 1"),
    ("doc_commands", "README.md", SOUND["README.md"].replace("1 ...", "2 ..."), "printed instead"),
)


def write(folder, tree):
    for path, content in tree.items():
        os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
        with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
            file.write(content)


def tracked(folder):
    """As a repository of its own, also where a hook of git runs this test."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", "-C", folder, *command], check=True, env=environment)


def lint(name, tree, untracked=None):
    with tempfile.TemporaryDirectory(prefix="leat-lint-") as folder:
        write(folder, tree)
        tracked(folder)
        write(folder, untracked or {})
        done = subprocess.run([sys.executable, os.path.join(HERE, f"lint_{name}.py")],
                              env=dict(os.environ, LEAT_SOURCE_DIR=folder, LEAT_BIN_DIR="/bin",
                                       GIT_CEILING_DIRECTORIES=os.path.dirname(folder)),
                              capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def somebodys(path):
    folder, name = os.path.split(path)
    return os.path.join(folder, "my_" + name)


def main():
    failed = 0
    for name in sorted({mistake[0] for mistake in MISTAKES}):
        status, output = lint(name, SOUND)
        if status not in (0, 77):
            failed += 1
            print(f"{name}: complains about a sound tree: {output}")
    for name, path, content, expected in MISTAKES:
        status, output = lint(name, {**SOUND, path: content})
        if status != 77 and (status != 1 or expected not in output):
            failed += 1
            print(f"{name}: did not find '{expected}' (status {status}): {output}")
        status, output = lint(name, SOUND, {somebodys(path): content})
        if status not in (0, 77):
            failed += 1
            print(f"{name}: complains about a file that git does not track: {output}")
    print(f"{len(MISTAKES)} mistakes shown, {failed} not found")
    sys.exit(1 if failed else 0)


main()
