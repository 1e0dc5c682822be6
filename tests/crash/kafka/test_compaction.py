"""Kills where changelogs are compacted all the time; LEAT_CRASH_ROUNDS, LEAT_CRASH_SEED."""
import run

run.test("compact")
