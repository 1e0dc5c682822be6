"""The settings of one broker, from what was asked of the cluster."""
import os

import kafka_security

PARTITIONS_OF_INTERNAL_TOPICS = 4  # Kafka's 50 make a start slow and show nothing more
LISTEN_ON = "127.0.0.1"


def listeners_of(cluster):
    """(listener name, protocol) that clients use, in the order of ports."""
    names = [("PLAINTEXT", "PLAINTEXT")]
    if cluster["sasl"]:
        names.append(("SASL_PLAINTEXT", "SASL_PLAINTEXT"))
    if cluster["tls"]:
        names.append(("SSL", "SSL"))
    if cluster["sasl"] and cluster["tls"]:
        names.append(("SASL_SSL", "SASL_SSL"))
    if cluster["advertise"]:
        names.append(("PROXY", "PLAINTEXT"))
    return names


def advertised_port(cluster, broker, listener):
    """Behind a proxy, clients are told the proxy's port instead of the broker's."""
    if listener == "PROXY":
        return cluster["advertise"][broker["id"] - 1]
    return broker["ports"][listener]


def listener_settings(cluster, broker):
    names = listeners_of(cluster)
    voters = ",".join(f"{other['id']}@{LISTEN_ON}:{other['ports']['CONTROLLER']}"
                      for other in cluster["brokers"])
    listening = [f"{name}://{LISTEN_ON}:{broker['ports'][name]}"
                 for name in [name for name, _ in names] + ["CONTROLLER"]]
    told = [f"{name}://{LISTEN_ON}:{advertised_port(cluster, broker, name)}" for name, _ in names]
    return {"process.roles": "broker,controller", "node.id": broker["id"],
            "controller.quorum.voters": voters, "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": ",".join(listening), "advertised.listeners": ",".join(told),
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}" for name, protocol in [*names, ("CONTROLLER", "PLAINTEXT")])}


def replication_settings(cluster):
    copies = len(cluster["brokers"])
    needed = 2 if copies >= 3 else 1
    settings = {"default.replication.factor": copies, "min.insync.replicas": needed,
                "num.partitions": 4}
    for topic, minimum in (("offsets.topic", None),
                           ("transaction.state.log", "transaction.state.log.min.isr"),
                           ("share.coordinator.state.topic",
                            "share.coordinator.state.topic.min.isr")):
        settings[f"{topic}.replication.factor"] = copies
        settings[f"{topic}.num.partitions"] = PARTITIONS_OF_INTERNAL_TOPICS
        if minimum:
            settings[minimum] = needed
    return settings


def fixed_settings(single):
    return {"auto.create.topics.enable": "false", "delete.topic.enable": "true",
            # Tests want short sessions and no wait for further members.
            "group.min.session.timeout.ms": 1000,
            # A killed broker may register again only when its old session is over.
            "broker.session.timeout.ms": 2000 if single else 4000,
            "broker.heartbeat.interval.ms": 300 if single else 500,
            # One that comes back alone waits for the others instead of ending after 60 s.
            "initial.broker.registration.timeout.ms": 3600_000,
            "num.network.threads": 2, "num.io.threads": 4,
            # The default is 128 MB of heap from the first moment on.
            "log.cleaner.dedupe.buffer.size": 16 << 20}


def settings_of(cluster, broker, folder):
    """{key: value}; what the user set by hand comes last and wins."""
    single = len(cluster["brokers"]) == 1
    settings = {**fixed_settings(single), **listener_settings(cluster, broker),
                **replication_settings(cluster),
                "group.initial.rebalance.delay.ms": cluster["delay_rebalance_ms"],
                # how soon what a lost process left open ends, beyond its own time-out (10 s)
                "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
                "log.dirs": os.path.join(folder, f"broker-{broker['id']}", "data")}
    if cluster["sasl"]:
        user, password = kafka_security.split_user(cluster["sasl"])
        for name, protocol in listeners_of(cluster):
            if protocol.startswith("SASL"):
                settings.update(kafka_security.sasl_settings(name, user, password))
    if cluster["tls"]:
        settings.update(kafka_security.tls_settings(os.path.join(folder, "tls")))
    return {**settings, **cluster["settings"]}


def write_settings(path, settings):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(f"{key}={value}\n" for key, value in settings.items())
