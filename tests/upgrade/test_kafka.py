"""test_embedded.py for jobs on Kafka: the topics that earlier versions have written, as records at
the offsets that they had (kafka_records.py says what that can't show), and their state directories.
The clock is today's: the client waits by it, and the topics are loaded without a retention."""
import json
import os
import shutil
import unittest
import uuid

from programs import Programs, tool
import cases
import kafka
import kafka_records
import test_embedded

BROKER = kafka.shared()


class Upgrade(unittest.TestCase):
    def each(self, prepare, wanted=lambda case: True):
        count = 0
        for version, name, path in test_embedded.archives("kafka-"):
            with self.subTest(f"{version} {name}"), tool.Folder("upgrade") as folder:
                stored = test_embedded.Stored(path, folder)
                if not wanted(stored.case):
                    continue
                count += 1
                world, programs = stored.world, Programs(test_embedded.FOLDERS)
                with open(world.path("topics.json"), encoding="ascii") as file:
                    topics = json.load(file)
                prefix = f"upgrade-{uuid.uuid4().hex[:12]}."
                world.log = kafka_records.load(programs, BROKER, prefix, topics)
                kafka_records.check_loaded(BROKER, prefix, topics)
                stored.case.go_on(programs, world, stored.rest, prepare(world))
        self.assertGreater(count, 0)

    def test_as_it_was_left(self):
        self.each(lambda world: True)

    def test_without_the_state_directory(self):
        def prepare(world):
            self.assertTrue(os.listdir(world.path("state")))
            shutil.rmtree(world.path("state"))
            shutil.rmtree(world.path("snapshots"), ignore_errors=True)
            return False
        self.each(prepare)

    def test_a_changed_job_goes_on(self): # S6
        self.addCleanup(setattr, cases.Shop, "program", cases.Shop.program)
        cases.Shop.program = "upgrade_shop_changed"
        self.each(lambda world: True, lambda case: isinstance(case, cases.Shop))


if __name__ == "__main__":
    unittest.main()
