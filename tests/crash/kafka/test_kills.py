"""Kill -9 of jobs that read and write a Kafka broker; LEAT_CRASH_ROUNDS, LEAT_CRASH_SEED."""
import run

run.test("kill")
