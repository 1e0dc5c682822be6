"""Jobs that are paused until others have taken their place; LEAT_CRASH_ROUNDS, LEAT_CRASH_SEED."""
import run

run.test("zombie")
