"""Kill -9 and SIGSTOP of brokers, and the job beside them; LEAT_CRASH_ROUNDS, LEAT_CRASH_SEED."""
import run

run.test("broker", "stopped")
