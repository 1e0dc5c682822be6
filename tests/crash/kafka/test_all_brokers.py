"""Kill -9 of all three brokers at once; LEAT_CRASH_ROUNDS, LEAT_CRASH_SEED."""
import run

run.test("all", brokers=3)
