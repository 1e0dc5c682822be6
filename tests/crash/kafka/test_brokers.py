"""Kill -9 of the broker while a job works; LEAT_CRASH_ROUNDS, LEAT_CRASH_SEED."""
import run

run.test("broker")
