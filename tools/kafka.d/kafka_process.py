"""A broker as a process and as a listener: Java, pid files that cannot go stale, ports, and the
question whether the process that answers on a port is the one that was started."""
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import time

LISTEN = "0A"  # the state of a listening socket in /proc/net/tcp
API_VERSIONS = 18
POLL_S = 0.02


class Problem(Exception):
    """One line for the user: what is wrong and what to do."""


class Missing(Problem):
    """Java or the jars are not there; tests are skipped then."""


def java():
    """The path of Java; JAVA_HOME comes first, as for Kafka's own scripts."""
    home = os.environ.get("JAVA_HOME")
    found = (home and shutil.which(os.path.join(home, "bin", "java"))) or shutil.which("java")
    if not found:
        raise Missing("there is no java: run `make setup` (or install Java 17 or later)")
    return found


# -- processes ------------------------------------------------------------------------------------

def started_at(pid):
    """When the process began, in ticks since boot; None if it is gone or only waits to be reaped.
    Together with the pid it names a process for ever, where the pid alone is given out again."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # ours, and nobody else will reap it
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        # The first thread of a killed process is a zombie while the others still hold its ports.
        if fields[0] in "ZX" and len(os.listdir(f"/proc/{pid}/task")) <= 1:
            return None
    except OSError:
        return None
    return int(fields[19])


def write_pid(path, pid):
    with open(path + ".new", "w", encoding="ascii") as file:
        json.dump({"pid": pid, "started_at": started_at(pid)}, file)
    os.replace(path + ".new", path)


def read_pid(path):
    """The pid if that very process still runs, else None: a stale file counts for nothing."""
    try:
        with open(path, encoding="ascii") as file:
            noted = json.load(file)
    except (OSError, ValueError):
        return None
    began = started_at(noted["pid"])
    return noted["pid"] if began is not None and began == noted["started_at"] else None


def daemon(command, log_path):
    """Starts it detached from the terminal and from us; returns its pid."""
    with open(log_path, "ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True, cwd=os.path.dirname(log_path))
    process.returncode = 0  # it is not ours to wait for when we end
    return process.pid


def wait_gone(pid, timeout_s):
    until = time.monotonic() + timeout_s
    while started_at(pid) is not None:
        if time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True


def end(pid, timeout_s):
    """SIGTERM, and SIGKILL for one that does not listen; returns whether SIGTERM was enough."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if wait_gone(pid, timeout_s):
        return True
    kill(pid)
    return False


def kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if not wait_gone(pid, 10):
        raise Problem(f"process {pid} does not end after SIGKILL")


def pause(pid):
    """SIGSTOP; returns when all threads stand still: on a busy machine some run on for a while."""
    os.kill(pid, signal.SIGSTOP)
    until = time.monotonic() + 10
    while not all(state_of(pid, thread) in "TtZX" for thread in os.listdir(f"/proc/{pid}/task")):
        if time.monotonic() > until:
            raise Problem(f"process {pid} does not stand still after SIGSTOP")
        time.sleep(POLL_S)


def state_of(pid, thread):
    """The letter of /proc; X for a thread that is gone."""
    try:
        with open(f"/proc/{pid}/task/{thread}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


# -- ports ----------------------------------------------------------------------------------------

def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count):
    """Ports below those that the kernel gives to clients.  A client that keeps trying to reach a
    killed broker could otherwise be given the broker's own port, and talk to itself."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first_of_clients = int(file.read().split()[0])
    below = range(10000, first_of_clients) if first_of_clients > 12000 else range(10000, 65000)
    found = []
    for port in random.sample(below, min(len(below), 2000)):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    if len(found) < count:
        raise Problem(f"there are no {count} free ports on 127.0.0.1")
    return found


def listening_inodes(port):
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="ascii") as file:
            for row in file.readlines()[1:]:
                fields = row.split()
                if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return inodes


def listens(pid, port):
    """Whether the listener on `port` belongs to `pid`."""
    wanted = {f"socket:[{inode}]" for inode in listening_inodes(port)}
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return False
    for name in names:
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{name}") in wanted:
                return True
    return False


def owner_of(port):
    """Who listens there, as text."""
    for name in os.listdir("/proc"):
        if name.isdigit() and listens(int(name), port):
            with contextlib.suppress(OSError), open(f"/proc/{name}/comm", encoding="utf-8") as file:
                return f"process {name} ({file.read().strip()})"
    return "another process"


# -- Kafka's protocol, as much as is needed to see that a broker is there -------------------------

def receive(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("the broker closed the connection")
        data += part
    return data


def api_versions(host, port, timeout_s=1.0):
    """{api key: (lowest, highest version)} of the broker; OSError if it does not answer."""
    request = struct.pack(">hhih4s", API_VERSIONS, 0, 7, 4, b"leat")
    with socket.create_connection((host, port), timeout_s) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        size, = struct.unpack(">i", receive(connection, 4))
        answer = receive(connection, size)
    correlation, error, count = struct.unpack_from(">ihi", answer)
    if correlation != 7 or error != 0:
        raise ConnectionError(f"the broker answers with error {error}")
    rows = (struct.unpack_from(">hhh", answer, 10 + 6 * row) for row in range(count))
    return {key: (lowest, highest) for key, lowest, highest in rows}


def answers(port):
    try:
        return bool(api_versions("127.0.0.1", port))
    except (OSError, struct.error):
        return False
