"""deploy/: what can be proven about it without Docker.  The files parse, name only what exists,
Kafka accepts the brokers' settings, the programs accept the recommender's command line, and the
dashboard and the alerts ask for metrics that the sources have."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import kafka  # noqa: E402
import tool  # noqa: E402

try:
    import yaml
except ImportError:
    print("skipped: there is no python3-yaml (`make setup`)")
    sys.exit(tool.SKIPPED)

DEPLOY = os.path.join(tool.SOURCE, "deploy")
PROVIDED_BY_PROMETHEUS = {"up"}
FUNCTIONS_AND_WORDS = {
    "sum", "rate", "increase", "deriv", "histogram_quantile", "by", "le", "route", "code", "result",
    "reason", "and", "or", "scalar", "job", "__rate_interval", "m"}


def path(*parts):
    return os.path.join(DEPLOY, *parts)


def text_of(name):
    with open(name, encoding="utf-8") as file:
        return file.read()


def load(*parts):
    return yaml.safe_load(text_of(path(*parts)))


def source_metrics():
    """Names in string literals of the code that writes /metrics, with a histogram's three."""
    names = set()
    for folder in ("apps", "src"):
        for here, _, files in os.walk(os.path.join(tool.SOURCE, folder)):
            for name in files:
                if name.endswith(".c"):
                    names |= set(re.findall(r'"((?:leat|process)_[a-z0-9_]+)',
                                            text_of(os.path.join(here, name))))
    return names | {name + end for name in names if name.endswith("_seconds")
                    for end in ("_bucket", "_sum", "_count")}


def metrics_in(expression):
    """What an expression asks for: its words, less strings, functions and labels."""
    bare = re.sub(r'"[^"]*"', "", expression)
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare)) - FUNCTIONS_AND_WORDS


class Compose(unittest.TestCase):
    def setUp(self):
        self.compose = load("compose.yaml")
        self.services = self.compose["services"]

    def test_the_picture_is_complete(self):
        self.assertEqual(set(self.services), {"kafka-1", "kafka-2", "kafka-3", "recommender",
                                              "gateway", "redis", "prometheus", "grafana"})
        for name, service in self.services.items():
            self.assertRegex(service["image"], r"^leat$|:v?\d", f"{name}: no pinned version")
            for needed in service.get("depends_on", []):
                self.assertIn(needed, self.services)

    def test_every_file_and_volume_that_is_named_exists(self):
        for name, service in self.services.items():
            for volume in service.get("volumes", []):
                source = volume.split(":")[0]
                if source.startswith("."):
                    self.assertTrue(os.path.exists(path(source)), f"{name}: {source}")
                else:
                    self.assertIn(source, self.compose["volumes"], name)
        build = self.services["recommender"]["build"]
        self.assertTrue(os.path.exists(path(build["context"], build["dockerfile"])))

    def test_nothing_is_published_beyond_loopback_and_no_port_twice(self):
        ports = [port for service in self.services.values() for port in service.get("ports", [])]
        for port in ports:
            self.assertTrue(port.startswith("127.0.0.1:"), port)
        self.assertEqual(len(ports), len({port.split(":")[1] for port in ports}))

    def broker_settings(self, name):
        """The image turns KAFKA_A_B_C into a.b.c."""
        return {key[len("KAFKA_"):].lower().replace("_", "."): value
                for key, value in self.services[name]["environment"].items()
                if key.startswith("KAFKA_") and key != "KAFKA_HEAP_OPTS"}

    def test_brokers_agree_and_a_record_is_on_two_of_three(self):
        ids, shared = set(), None
        for number in (1, 2, 3):
            settings = self.broker_settings(f"kafka-{number}")
            ids.add(settings.pop("node.id"))
            self.assertIn(f"kafka-{number}:9092", settings.pop("advertised.listeners"))
            settings.pop("listeners")
            self.assertTrue(shared is None or shared == settings)
            shared = settings
            self.assertIn(f"{number}@kafka-{number}:9094", settings["controller.quorum.voters"])
        self.assertEqual(ids, {"1", "2", "3"})
        for topic in ("default", "offsets.topic", "transaction.state.log"):
            self.assertEqual(shared[f"{topic}.replication.factor"], "3")
        self.assertEqual(shared["min.insync.replicas"], "2")
        self.assertEqual(shared["transaction.state.log.min.isr"], "2")

    def test_kafka_itself_accepts_the_settings(self):
        try:
            kafka.kafka_process.java()
            kafka.kafka_cluster.class_path()
        except kafka.kafka_process.Missing as missing:
            self.skipTest(str(missing))
        with tempfile.TemporaryDirectory(prefix="leat-deploy-") as folder:
            settings = self.broker_settings("kafka-2")
            settings["log.dirs"] = os.path.join(folder, "data")
            name = os.path.join(folder, "server.properties")
            kafka.kafka_cluster.kafka_settings.write_settings(name, settings)
            done = subprocess.run(kafka.kafka_cluster.java_command(
                "128m", "kafka.tools.StorageTool", "format", "--config", name, "--cluster-id",
                self.services["kafka-2"]["environment"]["CLUSTER_ID"]),
                capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_recommender_takes_its_command_line_and_the_gateway_finds_it(self):
        command = self.services["recommender"]["command"]
        help_text = tool.run("leat-recommender", command[0], "--help").stdout
        for word in command:
            if word.startswith("--"):
                self.assertIn(f"  {word} ", help_text)
        listen = command[command.index("--listen") + 1]
        gateway = text_of(path("gateway", "nginx.conf"))
        self.assertIn(f"server {listen};", gateway)
        published, inside = re.findall(r"listen (\d+);", gateway)
        ports = self.services["recommender"]["ports"]
        self.assertEqual(len(ports), 1)
        self.assertTrue(ports[0].endswith(":" + published))
        scraped = load("prometheus", "prometheus.yml")["scrape_configs"][0]
        self.assertEqual(scraped["static_configs"][0]["targets"], [f"recommender:{inside}"])

    def test_the_published_port_passes_on_what_is_for_clients_only(self):
        """Each path of the API as nginx finds its location: exact, then the longest prefix."""
        published = text_of(path("gateway", "nginx.conf")).split("listen 8082;")[0]
        locations = re.findall(r"location (=|\^~)? ?(\S+) { (return 404|proxy_pass \S+);",
                               published)
        self.assertEqual(len(locations), 7)

        def passed(asked):
            exact = [does for kind, to, does in locations if kind == "=" and to == asked]
            prefix = max((to, does) for kind, to, does in locations
                         if kind != "=" and asked.startswith(to))
            return (exact or [prefix[1]])[0].startswith("proxy_pass")
        api = yaml.safe_load(text_of(os.path.join(tool.SOURCE, "apps", "recommender", "serve",
                                                  "openapi.yaml")))
        refused = {asked for asked in api["paths"] if not passed(asked)}
        self.assertEqual(refused, {"/metrics", "/v1/debug/index"})
        self.assertFalse(passed("/v1/debug/anything/new"))


class Image(unittest.TestCase):
    def test_what_it_copies_and_runs_exists(self):
        text = text_of(path("Dockerfile"))
        for source in re.findall(r"^COPY ([^-\s]\S*)", text, re.M):
            self.assertTrue(os.path.exists(os.path.join(tool.SOURCE, source)), source)
        self.assertIn("tools/setup.sh --needed", text)
        for name in ("tools/setup.sh", "tools/build.sh"):
            self.assertTrue(os.access(os.path.join(tool.SOURCE, name), os.X_OK), name)

    def test_it_has_the_libraries_that_the_programs_link(self):
        if tool.SANITIZED or not shutil.which("dpkg-query"):
            self.skipTest("sanitizers link others")
        listed = set(re.search(r"install -y --no-install-recommends\s*\\\n(.*?)\\\n",
                               text_of(path("Dockerfile"))).group(1).split())
        for program in ("leat", "leat-recommender"):
            done = subprocess.run(["readelf", "-d", tool.program(program)], capture_output=True,
                                  text=True, check=True)
            for library in re.findall(r"NEEDED.*\[(.*?)\]", done.stdout):
                self.assertLessEqual(1, len(self.packages_of(library) &
                                            (listed | {"libc6", "libgcc-s1"})), library)

    @staticmethod
    def packages_of(library):
        """Several: a library of the same name for another architecture may be installed."""
        done = subprocess.run(["dpkg-query", "-S", f"*/{library}"], capture_output=True, text=True,
                              check=False)
        return {line.split(":")[0] for line in done.stdout.splitlines()}


class Monitoring(unittest.TestCase):
    def setUp(self):
        self.rules = [rule for group in load("prometheus", "rules.yml")["groups"]
                      for rule in group["rules"]]
        self.known = source_metrics() | PROVIDED_BY_PROMETHEUS | {
            rule["record"] for rule in self.rules if "record" in rule}
        with open(path("grafana", "dashboards", "recommender.json"), encoding="utf-8") as file:
            self.dashboard = json.load(file)

    def test_the_dashboard_asks_for_metrics_that_exist(self):
        panels = self.dashboard["panels"]
        self.assertGreater(len(panels), 10)
        for panel in panels:
            for target in panel["targets"]:
                asked = metrics_in(target["expr"])
                self.assertTrue(asked)
                self.assertLessEqual(asked, self.known, panel["title"])

    def test_the_check_would_see_a_metric_that_does_not_exist(self):
        self.assertEqual(metrics_in('sum by (route) (rate(leat_nothing_total{result="x"}[1m]))'),
                         {"leat_nothing_total"})
        self.assertNotIn("leat_nothing_total", self.known)

    def test_the_alerts_ask_for_metrics_that_exist(self):
        for rule in self.rules:
            self.assertLessEqual(metrics_in(rule["expr"]), self.known, rule)

    def test_the_dashboard_finds_its_data_source_and_grafana_finds_the_dashboard(self):
        source, = load("grafana", "provisioning", "datasources", "prometheus.yaml")["datasources"]
        self.assertEqual({panel["datasource"]["uid"] for panel in self.dashboard["panels"]},
                         {source["uid"]})
        self.assertIn(source["url"].split("/")[2].split(":")[0],
                      load("compose.yaml")["services"])
        provider, = load("grafana", "provisioning", "dashboards", "leat.yaml")["providers"]
        mounted = [volume.split(":")[1]
                   for volume in load("compose.yaml")["services"]["grafana"]["volumes"]]
        self.assertIn(provider["options"]["path"], mounted)

    def test_prometheus_takes_its_files_and_the_alerts_fire_when_they_should(self):
        if not shutil.which("promtool"):
            self.skipTest("there is no promtool (`make setup`)")
        for arguments in (("check", "config", "prometheus.yml"), ("check", "rules", "rules.yml"),
                          ("test", "rules", "rules_test.yml")):
            done = subprocess.run(["promtool", *arguments], cwd=path("prometheus"),
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Docker(unittest.TestCase):
    def test_docker_compose_reads_it(self):
        if not shutil.which("docker") or subprocess.run(
                ["docker", "compose", "version"], capture_output=True, check=False).returncode:
            self.skipTest("there is no docker compose here")
        done = subprocess.run(["docker", "compose", "-f", path("compose.yaml"), "config", "-q"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
