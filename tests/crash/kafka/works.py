"""The jobs of the crash rounds, each with what its judge must know of it.

    user_counts   counts events: its state has a changelog, whose seals are checked, too
    relay         hands events on and keeps nothing: what the committed offsets hide or repeat
                  shows at once, and nothing but the outputs can tell
"""
import os

import judge
import tool


def test_program(name):
    """Beside the tests' programs."""
    path = os.path.join(os.path.dirname(tool.BIN), "tests", name)
    if not os.path.exists(path):
        print(f"skipped: {path} is not built")
        raise SystemExit(tool.SKIPPED)
    return path


class UserCounts:
    name, output, group = "user_counts", "user_recommendations", "user-counts"
    changelog = "user-counts-count-changelog"
    live = judge.Live
    check_frozen = staticmethod(judge.check_frozen)

    @staticmethod
    def program():
        return "user_counts"


class Relay:
    name, output, group = "relay", "relayed", "relay"
    changelog = None
    live = judge.LiveRelay
    check_frozen = staticmethod(judge.check_relayed)

    @staticmethod
    def program():
        return test_program("crash_kafka_relay")


class UserCountsWithoutR1(UserCounts):
    @staticmethod
    def program():
        return test_program("user_counts_without_r1")


WORKS = {work.name: work for work in (UserCounts, Relay)}


def shared_out(rounds, names):
    """[(work, its rounds)]: of two the second gets a third, at least one if there are two."""
    works = [WORKS[name] for name in WORKS if name in names]
    if len(works) == 1 or rounds < 2:
        return [(works[0], rounds)]
    second = max(1, rounds // 3)
    return [(works[0], rounds - second), (works[1], second)]
