"""kill -9 of leat-recommender serve under load; LEAT_CRASH_ROUNDS, LEAT_CRASH_SEED."""
import run

run.main(["recommender"])
