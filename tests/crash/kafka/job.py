"""A process of the job under a supervisor: started again when it ends with a code that says so.

    up ──► running ──exit code in RESTARTED──► running ──► ...      down / kill / pause
                └──any other code, or a signal that we did not send──► broken
"""
import os
import signal
import subprocess
import threading
import time

import tool

# docs/exit-codes.md: what goes away by itself, and what a supervisor starts again.
RESTARTED = {69: "no broker answers", 71: "epochs aborted in a row", 74: "log failed",
             75: "the log did not answer", 81: "not now", 83: "the former still ends"}
FENCED, VIOLATION = 78, 84
RESTART_AFTER_S = 0.1
WORDS_KEPT = 20


class Job:
    """One instance: a name, a state directory, and one log file for all its lives.  `arguments`,
    called with it, gives what the program is started with, beside --instance."""

    def __init__(self, name, folder, arguments, memory_only=False, program="user_counts", env=None):
        self.name, self.folder, self.program = name, folder, program
        self.state = None if memory_only else os.path.join(folder, f"state-{name}")
        self.arguments, self.env = arguments, env or {}
        self.log = self.workers = None # of the world, as it was then
        self.log_path = os.path.join(folder, f"job-{name}.log")
        self.process, self.wanted, self.lives = None, False, 0
        self.exits = []       # (code, whether we asked for it)
        self.unexpected = []  # what a supervisor must not see
        self.last_words = []  # of each life that ended by itself: its last lines
        self.replaced = False # its name was given away: nobody starts it again
        self.started_s = 0.0
        self.lock = threading.RLock()
        self.thread = None

    def note(self, text):
        with open(self.log_path, "a", encoding="utf-8") as file:
            file.write(f"--- {time.time():.3f} {text}\n")

    def command(self):
        arguments = [*self.arguments(self), "--instance", self.name]
        path = self.program if os.path.isabs(self.program) else tool.program(self.program)
        return [path, *map(str, arguments)]

    def words_before_the_end(self, code):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()[-WORDS_KEPT:]
        return {"job": self.name, "code": code, "lines": lines}

    def launch(self):
        self.lives += 1
        self.note(f"life {self.lives}: {' '.join(self.command())}")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=dict(os.environ, **self.env))
        self.started_s = time.monotonic()
        return self.process

    def up(self):
        with self.lock:
            self.wanted = True
            process = self.launch()
        self.thread = threading.Thread(target=self.supervise, args=(process,), daemon=True)
        self.thread.start()
        return self

    def supervise(self, process):
        while True:
            code = process.wait()
            with self.lock:
                asked = not self.wanted
                self.exits.append((code, asked))
                if not asked:
                    self.last_words.append(self.words_before_the_end(code))
                self.note(f"life {self.lives} of pid {process.pid} ended with {code}"
                          f"{' as asked' if asked else ''}")
                if asked:
                    return
                if self.replaced and (code == FENCED or code in RESTARTED):
                    self.wanted = False
                    return
                if code not in RESTARTED:
                    self.unexpected.append(code)
                    self.wanted = False
                    return
            time.sleep(RESTART_AFTER_S)
            with self.lock:
                if not self.wanted:
                    return
                process = self.launch()

    @property
    def running(self):
        with self.lock:
            return self.wanted and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def leave_alone(self):
        """Somebody is about to kill it; `end` comes afterwards."""
        with self.lock:
            self.wanted = False

    def end(self, with_signal=signal.SIGKILL, timeout_s=60):
        """Ends it for good; returns its exit code.  With SIGTERM the code must be 0, or that of the
        signal while it starts."""
        with self.lock:
            self.wanted = False
            process = self.process
            if process.poll() is None:
                process.send_signal(with_signal)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            trace = tool.stack_of(process)
            self.note(trace)
            process.kill()
            process.wait()
            raise tool.Failed(f"job {self.name} did not end within {timeout_s} s of "
                              f"{with_signal.name}; its stacks are in {self.log_path}") from None
        self.thread.join()
        allowed = (0, -signal.SIGTERM, *RESTARTED) if with_signal == signal.SIGTERM else None
        if allowed is not None and code not in allowed:
            self.unexpected.append(code)
        return code

    def pause(self):
        self.note("SIGSTOP")
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.note("SIGCONT")
        self.process.send_signal(signal.SIGCONT)

    def ended_by_itself(self):
        return [code for code, asked in self.exits if not asked]
