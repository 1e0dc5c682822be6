"""A sample of tests/crash/file_faults/run.py: each kind twice in each scene.  `make soak` does
more, --all every call."""
import os

import run

run.main(["--quiet", "--keep-going", "--rounds", os.environ.get("LEAT_FILE_FAULT_ROUNDS", "126"),
          "--seed", os.environ.get("LEAT_CRASH_SEED", "0")])
