"""Processes of a job come and go; LEAT_CRASH_ROUNDS, LEAT_CRASH_SEED."""
import run

run.test("scale")
