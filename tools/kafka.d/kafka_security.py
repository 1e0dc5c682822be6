"""What --sasl and --tls need: a certificate authority of our own, one key for the brokers and one
for clients, and the settings that name them.  For tests: the keys lie in the cluster's folder."""
import os
import shutil
import subprocess

from kafka_process import Problem

MECHANISMS = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"


def split_user(text):
    user, colon, password = text.partition(":")
    if not (user and colon and password) or any(c in text for c in "\"'\\,[]= \n"):
        raise Problem(f"--sasl is USER:PASSWORD without quotes, commas or blanks, not '{text}'")
    return user, password


def openssl(folder, *arguments):
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise Problem(f"openssl {arguments[0]}: {done.stderr.strip().splitlines()[-1]}")


def signed(folder, name, alternative):
    """NAME.key and NAME.pem (certificate), and NAME.store.pem with both, for a Java keystore."""
    with open(os.path.join(folder, name + ".ext"), "w", encoding="ascii") as file:
        file.write(f"subjectAltName={alternative}\n")
    openssl(folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", "3650", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    with open(os.path.join(folder, name + ".store.pem"), "wb") as store:
        for part in (f"{name}.key", f"{name}.pem"):
            with open(os.path.join(folder, part), "rb") as file:
                store.write(file.read())
    for part in (f"{name}.csr", f"{name}.ext"):
        os.remove(os.path.join(folder, part))


def make_certificates(folder):
    """ca.pem, server.*, client.* in `folder`, once."""
    if os.path.exists(os.path.join(folder, "client.store.pem")):
        return
    if not shutil.which("openssl"):
        raise Problem("--tls needs openssl: run `make setup`")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, mode=0o700)
    openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
            "-subj", "/CN=leat test authority", "-keyout", "ca.key", "-out", "ca.pem")
    signed(folder, "server", "DNS:localhost,IP:127.0.0.1")
    signed(folder, "client", "DNS:client")


def tls_settings(folder):
    def path(name):
        return os.path.join(folder, name)

    return {"ssl.keystore.type": "PEM", "ssl.keystore.location": path("server.store.pem"),
            "ssl.truststore.type": "PEM", "ssl.truststore.location": path("ca.pem"),
            "ssl.client.auth": "requested"}


def sasl_settings(listener, user, password):
    prefix = f"listener.name.{listener.lower()}"
    return {"sasl.enabled.mechanisms": MECHANISMS,
            f"{prefix}.plain.sasl.jaas.config":
                f'{PLAIN} required user_{user}="{password}";',
            f"{prefix}.scram-sha-256.sasl.jaas.config": f"{SCRAM} required;",
            f"{prefix}.scram-sha-512.sasl.jaas.config": f"{SCRAM} required;"}


def scram_users(user, password):
    """What the storage tool is told: SCRAM's users live in the cluster's metadata."""
    return [argument for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512") for argument in
            ("--add-scram", f"{mechanism}=[name={user},password={password}]")]
