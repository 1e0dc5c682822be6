"""The jobs of the crash rounds, each with what its judge must know of it.

    user_counts   counts events: its state has a changelog, whose seals are checked, too
    relay         hands events on and keeps nothing: what the committed offsets hide or repeat
                  shows at once, and nothing but the outputs can tell
    regroup       counts by another key than the input's: through a repartition topic
    buckets       windows, and timers over a map behind a repartition topic: time, too, must go on
                  where it stood
    recommender   the server: sessions that end, answers, counts of items
"""
import os

import judge
import judge_buckets
import judge_recommender
import judge_regroup
import tool


def test_program(name):
    """Beside the tests' programs."""
    path = os.path.join(os.path.dirname(tool.BIN), "tests", name)
    if not os.path.exists(path):
        print(f"skipped: {path} is not built")
        raise SystemExit(tool.SKIPPED)
    return path


class Work:
    """What jobs have in common: one input, one output for each event, all on one topic."""
    sources = {}  # changelog: the topic whose position its seals hold
    inner = ()    # repartition topics

    @staticmethod
    def arguments(world, made):
        """Beside --instance, for a process of the world."""
        given = ["--log", made.log, "--input", "user_events", "--output", world.output,
                 "--workers", made.workers]
        if world.epoch_ms:
            given += ["--epoch-ms", world.epoch_ms]
        if world.snapshot_dir and made.state:
            given += ["--snapshot-dir", world.snapshot_dir, "--snapshot-interval-ms", 300]
        if made.state:
            given += ["--state-dir", made.state]
        return given

    @staticmethod
    def wanted(world, event_count):
        """How many outputs there are once all events are worked off."""
        return event_count

    @staticmethod
    def check_at_rest(world):
        """More than the output, when all is worked off."""


class UserCounts(Work):
    name, output, group = "user_counts", "user_recommendations", "user-counts"
    sources = {"user-counts-count-changelog": "user_events"}
    live = judge.Live

    @staticmethod
    def check(world, expected, output, committed):
        return judge.check_frozen(world.output, expected, output, committed, world.follower.live)

    @staticmethod
    def program():
        return "user_counts"


class Relay(Work):
    name, output, group = "relay", "relayed", "relay"
    live = judge.LiveRelay

    @staticmethod
    def check(world, expected, output, committed):
        return judge.check_relayed(world.output, expected, output, committed, world.follower.live)

    @staticmethod
    def program():
        return test_program("crash_kafka_relay")


class Regroup(Work):
    name, output, group = "regroup", "regrouped", "regroup"
    inner = ("regroup-count-repartition",)
    sources = {"regroup-count-changelog": inner[0]}
    live = judge_regroup.Live

    @staticmethod
    def check(world, expected, output, committed):
        on_the_way = judge_regroup.count_on_the_way(world.dump(Regroup.inner[0], "--hex"),
                                                    world.committed(Regroup.inner[0]))
        return judge_regroup.check(world.output, expected, output, committed, on_the_way,
                                   world.follower.live)

    @staticmethod
    def program():
        return test_program("crash_kafka_regroup")


class Buckets(Work):
    name, output, group = "buckets", "bucketed", "buckets"
    inner = ("buckets-timed-repartition",)
    sources = {"buckets-windows-changelog": "user_events", "buckets-timed-changelog": inner[0]}
    live = judge_buckets.Live

    @staticmethod
    def wanted(world, event_count):
        return judge_buckets.count_ended(world.expected())

    @staticmethod
    def check(world, expected, output, committed):
        return judge_buckets.check(world.output, expected, output, committed,
                                   world.follower.live)

    @staticmethod
    def program():
        return test_program("crash_kafka_buckets")


class Recommender(Work):
    name, output, group = "recommender", "recommendations", "recommender"
    inner = ("recommender-popularity-repartition",)
    sources = {"recommender-session-changelog": "user_events",
               "recommender-popularity-changelog": inner[0]}

    @staticmethod
    def live(topic):
        return judge_recommender.Live(topic)

    @staticmethod
    def gap_ms(world):
        """Now and then a user is silent for longer: an event is 1 ms after the one before."""
        return 3 * world.loader.users

    @staticmethod
    def arguments(world, made):
        folder = made.state or os.path.join(made.folder, f"data-{made.name}")
        given = ["serve", "--data-dir", folder, "--log", made.log, "--listen", "127.0.0.1:0",
                 "--interactions-topic", "user_events", "--out-of-order", "0ms", "--lateness",
                 "0ms", "--session-gap", f"{Recommender.gap_ms(world)}ms"]
        if world.epoch_ms:
            given += ["--epoch", f"{world.epoch_ms}ms"]
        if world.snapshot_dir:
            given += ["--snapshot-dir", world.snapshot_dir, "--snapshot-interval", "300ms"]
        return given

    @staticmethod
    def check(world, expected, output, committed):
        return judge_recommender.check(world.output, expected, output, committed,
                                       world.dump("sessions"), Recommender.gap_ms(world),
                                       world.follower.live)

    @staticmethod
    def check_at_rest(world):
        judge_recommender.wait_for_popularity(world)

    @staticmethod
    def program():
        return "leat-recommender"


class UserCountsWithoutR1(UserCounts):
    @staticmethod
    def program():
        return test_program("user_counts_without_r1")


WORKS = {work.name: work for work in (UserCounts, Relay, Regroup, Buckets, Recommender)}


def shared_out(rounds, names, seed=0):
    """[(work, its rounds)]: as evenly as can be; the seed says whose turn it is."""
    works = [work for name, work in WORKS.items() if name in names]
    first = seed % len(works)
    works = works[first:] + works[:first]
    shares = [rounds // len(works) + (i < rounds % len(works)) for i in range(len(works))]
    return [(work, share) for work, share in zip(works, shares) if share]
