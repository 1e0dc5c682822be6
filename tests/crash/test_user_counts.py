"""kill -9 of user_counts; how often: LEAT_CRASH_ROUNDS, which input: LEAT_CRASH_SEED."""
import run

run.main(["user_counts"])
