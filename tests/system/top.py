# SPDX-License-Identifier: MIT
"""
For tests/system/top.sh:

    top.py put SOCKET             sends the commands on standard input to collectd's unixsock
    top.py agrees COMMAND...      whether the JSON it prints has, within 25 %, the rates of
                                  /sys/class/net/a0 over the same time (the exit status)
    top.py holds EXPRESSION       about d, the last document on standard input; i(NAME, HOST)
                                  is an interface of it
    top.py terminal SOCKET PROGRAM
                                  on pseudo-terminals, with a daemon that is played here: TAP
                                  lines without numbers
"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

PATIENCE = 120
RATES = "rx_bytes", "rx_packets", "tx_bytes", "tx_packets"


def put(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(path)
        stream = connection.makefile("rwb")
        for command in sys.stdin.buffer:
            stream.write(command)
            stream.flush()
            answer = stream.readline()
            if not answer.startswith(b"0 "):
                sys.exit(f"{command!r}: {answer!r}")


def counters():
    folder = "/sys/class/net/a0/statistics/"
    return time.monotonic(), [int(open(folder + name).read()) for name in
                              ("rx_bytes", "rx_packets", "tx_bytes", "tx_packets")]


def agrees(command):
    began, before = counters()
    time.sleep(2.5)
    document = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    ended, after = counters()
    a0 = next((x for x in document["interfaces"] if x["interface"] == "a0"), {})
    for name, first, last in zip(RATES, before, after):
        expected = (last - first) / (ended - began)
        if a0.get(name) is None or expected == 0 or abs(a0[name] / expected - 1) > 0.25:
            sys.exit(f"{name}: shown {a0.get(name)}, the interface's own {expected}")


def holds(expression):
    d = json.loads(sys.stdin.readlines()[-1])

    def i(name, host="host"):
        return next(x for x in d["interfaces"] if (x["interface"], x["host"]) == (name, host))

    sys.exit(not eval(f"({expression})", {"d": d, "i": i, "RATES": RATES}))


# ---- terminals ----

class Daemon:
    """Answers as unixsock does, as long as it shall."""

    def __init__(self, path):
        self.path, self.mode = path, "answer"
        self.listen()

    def listen(self):
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(self.path)
        self.server.listen(8)
        threading.Thread(target=self.serve, args=(self.server,), daemon=True).start()

    def close(self):
        os.unlink(self.path)
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def serve(self, server):
        while True:
            try:
                connection = server.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        stream = connection.makefile("rwb")
        try:
            for command in stream:
                stream.write(self.answer(command))
                stream.flush()
        except OSError:
            pass
        finally:
            stream.close()
            connection.close()

    def answer(self, command):
        if self.mode == "hang":
            threading.Event().wait()
        if self.mode != "answer":
            return self.mode
        if command.startswith(b"LISTVAL"):
            return b"60 Values found\n" + b"".join(
                b"1.000 h/tc_portbytes-eth%d/port_traffic-tcp-%d\n" % (n % 3, 443 + n)
                for n in range(60))
        return b"4 Values found\nrx_bytes=9e4\nrx_packets=1e2\ntx_bytes=NaN\ntx_packets=2e2\n"


class Terminal:
    def __init__(self, rows, columns, command, **environment):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            self.resize(0, rows, columns)
            for name in "NO_COLOR", "LINES", "COLUMNS":
                os.environ.pop(name, None)
            os.environ.update({"TERM": "xterm", "LC_ALL": "C.UTF-8"}, **environment)
            os.execv(command[0], command)

    @staticmethod
    def resize(fd, rows, columns):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self):
        return termios.tcgetattr(self.fd)[3] & (termios.ICANON | termios.ECHO)

    def wait(self, *patterns):
        """Until they come, in this order; what came before is forgotten."""
        end = time.monotonic() + PATIENCE
        for pattern in patterns:
            while not re.search(pattern, self.seen, re.S):
                left = end - time.monotonic()
                if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                    return False
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:  # it has ended
                    return False
            self.seen = self.seen[re.search(pattern, self.seen, re.S).start():]
        return True

    def frame(self):
        """The visible lines of the latest table."""
        text = re.findall(rb"\x1b\[H(.*?)\x1b\[J", self.seen, re.S)[-1]
        return re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", text).decode().split("\r\n")[:-1]

    def end(self):
        """How it ended: negative for a signal."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                try:
                    while select.select([self.fd], [], [], 0)[0]:
                        self.seen += os.read(self.fd, 65536)
                except OSError:
                    pass
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        return os.waitpid(self.pid, 0)[1] and None

    def restored(self):
        return self.seen.endswith(b"\x1b[?25h\x1b[?1049l")


def ok(passed, name):
    print(("ok - " if passed else "not ok - ") + name, flush=True)


COOKED = termios.ICANON | termios.ECHO
FRAME = rb"\x1b\[H.*?\x1b\[J"


def fits(terminal, rows, columns):
    lines = terminal.frame()
    return 3 < len(lines) < rows and max(map(len, lines)) <= columns


def terminal(path, program):
    daemon = Daemon(path)
    rarely = [program, "--socket", path, "--interval", "3600"]
    often = [program, "--socket", path, "--interval", "1"]

    t = Terminal(30, 90, rarely)
    ok(t.wait(rb"\x1b\[\?1049h", FRAME) and not t.modes(),
       "a terminal: a screen of its own, no echo")
    ok(fits(t, 30, 90) and "█" in "".join(t.frame()), "the table fits, with bars of blocks")
    ok(sum("tcp 4" in x for x in t.frame()) > 9, "as many ports as there is room for")
    ok(b"\x1b[32m" in t.seen, "in colour")
    t.seen = b""
    t.resize(t.fd, 12, 50)
    ok(t.wait(FRAME) and fits(t, 12, 50), "another size of the window: drawn anew at once")
    t.seen = b""
    os.kill(t.pid, signal.SIGTSTP)
    os.waitpid(t.pid, os.WUNTRACED)
    ok(t.wait(rb"\x1b\[\?1049l") and t.modes() == COOKED, "Ctrl-Z gives the terminal back")
    os.kill(t.pid, signal.SIGCONT)
    ok(t.wait(rb"\x1b\[\?1049h", FRAME) and not t.modes(), "and fg takes it again")
    os.kill(t.pid, signal.SIGTERM)
    ok(t.end() == -signal.SIGTERM and t.restored(), "SIGTERM ends it, the screen is restored")

    for number, name in (signal.SIGINT, "Ctrl-C"), (signal.SIGHUP, "a hang-up"):
        t = Terminal(30, 90, rarely)
        t.wait(FRAME)
        os.kill(t.pid, number)
        ok(t.end() == -number and t.restored(), name + " too")

    # The terminal's modes outlive it as long as somebody has it open: a shell does.
    t = Terminal(30, 90, ["/bin/sh", "-c", '"$@"; echo "ended $?"; read line', "sh"] + rarely,
                 NO_COLOR="1", LC_ALL="C")
    t.wait(FRAME)
    ok(b"\x1b[1m" not in t.seen and b"\x1b[3" not in t.seen, "NO_COLOR: none")
    ok(re.search("  #+$", "\n".join(t.frame()), re.M), "no UTF-8: bars of #")
    os.write(t.fd, b"xq")
    ok(t.wait(rb"\x1b\[\?1049l", rb"ended 0"), "q ends it with status 0")
    ok(t.modes() == COOKED, "the terminal's modes are as before")
    os.write(t.fd, b"\n")
    t.end()

    t = Terminal(24, 80, often, TERM="dumb")
    ok(t.wait(rb"-- .*-- .*sum") and b"\x1b" not in t.seen, "TERM=dumb: no escape sequence")
    os.kill(t.pid, signal.SIGTERM)
    t.end()

    t = Terminal(24, 300, often)
    t.wait(FRAME)
    daemon.close()
    ok(t.wait(rb"\x1b\[Hno answer since [^\n]*LoadPlugin unixsock.*\x1b\[J")
       and "tcp 443" in str(t.frame()),
       "collectd ends: said, and the table stays")
    daemon.mode = b"3 Values\nnothing\n\n\n"
    daemon.listen()
    ok(t.wait(rb"\x1b\[Hno answer since [^\n]*makes no sense.*\x1b\[J")
       and "tcp 443" in str(t.frame()),
       "it talks nonsense: the same")
    daemon.mode = "answer"
    t.seen = b""
    ok(t.wait(rb"\x1b\[Htc_portbytes [^\n]*\n.*\x1b\[J"), "collectd is back: it goes on")
    daemon.mode = "hang"
    time.sleep(2)
    os.kill(t.pid, signal.SIGTERM)
    ok(t.end() == -signal.SIGTERM and t.restored(), "it ends also while collectd doesn't answer")
    daemon.close()


if __name__ == "__main__":
    if sys.argv[1] == "agrees":
        agrees(sys.argv[2:])
    else:
        globals()[sys.argv[1]](*sys.argv[2:])
