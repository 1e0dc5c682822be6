"""Requests of transactions are late, lost or held (R1, R2); LEAT_CRASH_ROUNDS, LEAT_CRASH_SEED."""
import run

run.test("fault")
