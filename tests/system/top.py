# SPDX-License-Identifier: MIT
"""
For tests/system/top.sh:

    top.py put SOCKET             sends the commands on standard input to collectd's unixsock
    top.py agrees COMMAND...      exits with 0 if the JSON that COMMAND prints has the rates of
                                  /sys/class/net/a0 over the same time, within 25 %
    top.py holds EXPRESSION       exits with 0 if it is true of d, the last document on standard
                                  input; i(NAME, HOST) is one of its interfaces
    top.py hostile SOCKET PROGRAM
                                  runs PROGRAM on sockets that don't answer as collectd does, or
                                  with names that somebody chose; prints the same
    top.py terminal SOCKET PROGRAM
                                  runs PROGRAM on pseudo-terminals with a simulated collectd at
                                  SOCKET; prints TAP lines without numbers
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

TIMEOUT = 120
RATES = "rx_bytes", "rx_packets", "tx_bytes", "tx_packets"


def put(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT)
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
    time.sleep(2.5)  # some of collectd's intervals
    document = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    ended, after = counters()
    a0 = next((x for x in document["interfaces"] if x["interface"] == "a0"), {})
    for name, first, last in zip(RATES, before, after):
        expected = (last - first) / (ended - began)
        if a0.get(name) is None or expected == 0 or abs(a0[name] / expected - 1) > 0.25:
            sys.exit(f"{name}: shown {a0.get(name)}, by the interface counters {expected}")


def holds(expression):
    d = json.loads(sys.stdin.readlines()[-1])

    def i(name, host="host"):
        return next(x for x in d["interfaces"] if (x["interface"], x["host"]) == (name, host))

    sys.exit(not eval(f"({expression})", {"d": d, "i": i, "RATES": RATES}))


# ---- terminals ----

class Daemon:
    """Simulates collectd's unixsock. mode: "answer", "hang", or bytes to reply with."""

    def __init__(self, path):
        self.path, self.mode = path, "answer"
        self.asked = threading.Event()  # and has not answered
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
            stream.close()
        except OSError:  # the program has exited
            pass
        finally:
            connection.close()

    def answer(self, command):
        if self.mode == "hang":
            self.asked.set()
            threading.Event().wait()
        if self.mode != "answer":
            return self.mode
        if command.startswith(b"tc_portbytes-top-"):
            return b"-1 Unknown command: " + command
        if command.startswith(b"LISTVAL"):
            return b"60 Values found\n" + b"".join(
                b"1.000 h/tc_portbytes-eth%d/port_traffic-tcp-%d\n" % (n % 3, 443 + n)
                for n in range(60))
        return b"4 Values found\nrx_bytes=9e4\nrx_packets=1e2\ntx_bytes=4e4\ntx_packets=2e2\n"


class Ports(Daemon):
    """One with these series of eth0: {instance: (rx_bytes, rx_packets, tx_bytes, tx_packets)}."""

    def __init__(self, path, ports):
        self.ports = ports
        super().__init__(path)

    def answer(self, command):
        if command.startswith(b"LISTVAL"):
            return b"".join([b"%d Values found\n" % len(self.ports)] + [
                b"1.000 h/tc_portbytes-eth0/port_traffic-%s\n" % name.encode()
                for name in self.ports])
        if command.startswith(b"GETVAL"):
            values = self.ports[command.decode().split("port_traffic-")[1].rstrip('"\n')]
            return b"4 Values found\n" + b"".join(
                b"%s=%d\n" % (name.encode(), value) for name, value in zip(RATES, values))
        return super().answer(command)


class Terminal:
    def __init__(self, rows, columns, command, **environment):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            for number in (signal.SIGINT, signal.SIGHUP):  # nohup ignores them
                signal.signal(number, signal.SIG_DFL)
            self.resize(0, rows, columns)
            for name in "LINES", "COLUMNS":
                os.environ.pop(name, None)
            os.environ.update({"TERM": "xterm"}, **environment)
            os.execv(command[0], command)

    @staticmethod
    def resize(fd, rows, columns):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def modes(self):
        return termios.tcgetattr(self.fd)[3] & (termios.ICANON | termios.ECHO)

    def wait(self, *patterns):
        """Until the patterns occur in this order; drops the output before the last one."""
        end = time.monotonic() + TIMEOUT
        for pattern in patterns:
            while not re.search(pattern, self.seen, re.S):
                left = end - time.monotonic()
                if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                    return False
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:  # the program has exited
                    return False
            self.seen = self.seen[re.search(pattern, self.seen, re.S).start():]
        return True

    def frame(self):
        """The screen, full of @ before the last frame was drawn; None if that scrolls."""
        rows, columns = struct.unpack("HH4x", fcntl.ioctl(self.fd, termios.TIOCGWINSZ, bytes(8)))
        rows, columns = rows or 24, columns or 80
        cells = [["@"] * columns for _ in range(rows)]
        y = x = 0
        text = re.findall(FRAME, self.seen, re.S)[-1].decode()
        for token in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.", text, re.S):
            if token == "\x1b[H":
                y = x = 0
            elif token == "\x1b[K":  # of a cursor behind the last column: that column
                cells[y][min(x, columns - 1):] = " " * (columns - min(x, columns - 1))
            elif token == "\r":
                x = 0
            elif token == "\n":
                y += 1
            elif not token.startswith("\x1b"):
                if x == columns:  # a full line wraps at the next character
                    y, x = y + 1, 0
                if y < rows:
                    cells[y][x] = token
                x += 1
            if y >= rows:
                return None
        return ["".join(line) for line in cells]

    def end(self):
        """Waits for the exit; its status, negative for a signal."""
        end = time.monotonic() + TIMEOUT
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
FRAME = rb"\x1b\[H\x1b\[K.*?\x1b\[H"


def fits(terminal):
    lines = terminal.frame()
    return lines and "@" not in str(lines) and lines[0].startswith("tc_portbytes"[:len(lines[0])])


def shown(terminal):
    return sum("tcp-4" in line for line in terminal.frame() or [])


def screens(program):
    """Frames, window sizes, signals."""
    t = Terminal(30, 90, program)
    ok(t.wait(rb"\x1b\[\?1049h", FRAME) and not t.modes(),
       "a terminal: the alternate screen, no echo")
    ok(fits(t) and shown(t) > 9, "the table fills the window and fits")
    ok(any(x.endswith("#--------") for x in t.frame()),
       "the busiest port's bar extends to the last column")
    for rows, columns in (12, 50), (14, 20), (8, 20), (2, 63), (1, 3), (0, 0):
        t.seen = b""
        t.resize(t.fd, rows, columns)
        ok(t.wait(FRAME) and fits(t), f"{columns} columns, {rows} lines: redrawn to fit")
    ok(shown(t) > 2, "a terminal of unknown size: 80 columns, 24 lines")
    os.kill(t.pid, signal.SIGTERM)
    ok(t.end() == -signal.SIGTERM and t.restored(), "SIGTERM ends it, the terminal is restored")

    for number, name in (signal.SIGINT, "Ctrl-C"), (signal.SIGHUP, "SIGHUP"):
        t = Terminal(30, 90, program)
        t.wait(FRAME)
        os.kill(t.pid, number)
        ok(t.end() == -number and t.restored(), name + ": the same")

    t = Terminal(24, 80, program[:-1] + ["1"], TERM="dumb")
    ok(t.wait(rb"-- .*-- .*sum") and b"\x1b" not in t.seen, "TERM=dumb: no escape sequence")
    os.kill(t.pid, signal.SIGTERM)
    t.end()

    # As with ssh -t: an orphaned process group is not stopped.
    t = Terminal(30, 90, program)
    t.wait(FRAME)
    os.write(t.fd, b"\x1a")
    ok(t.wait(rb"\x1b\[\?1049l", rb"\x1b\[\?1049h", FRAME), "Ctrl-Z without a shell: it continues")
    os.write(t.fd, b"q")
    ok(t.end() == 0 and t.restored(), "q ends it")


def jobs(program):
    """Job control, under a shell, which keeps the terminal open when the program has ended."""
    t = Terminal(30, 90, ["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"], PS1="next: ")
    os.write(t.fd, " ".join(program).encode() + b"\n")
    t.wait(rb"\x1b\[\?1049h", FRAME)
    os.write(t.fd, b"\x1a")
    ok(t.wait(rb"\x1b\[\?1049l", rb"Stopped.*next: ") and t.modes() == COOKED,
       "Ctrl-Z restores the terminal and stops it")
    t.seen = b""
    os.write(t.fd, b"bg\n")
    state = b"Running"
    end = time.monotonic() + TIMEOUT
    while state == b"Running" and b"\x1b" not in t.seen and time.monotonic() < end:
        t.seen = b""
        os.write(t.fd, b"jobs\n")
        t.wait(rb"(Running|Stopped).*next: ")
        state = b"Stopped" if b"Stopped" in t.seen else b"Running"
    ok(state == b"Stopped" and b"\x1b" not in t.seen and t.modes() == COOKED,
       "bg: it is stopped and does not touch the terminal")
    os.write(t.fd, b"fg\n")
    ok(t.wait(rb"\x1b\[\?1049h", FRAME) and not t.modes(), "fg: it takes the terminal again")
    os.write(t.fd, b"\x1a")
    t.wait(rb"\x1b\[\?1049l", rb"Stopped.*next: ")
    os.write(t.fd, b"fg\n")
    ok(t.wait(rb"\x1b\[\?1049h", FRAME), "Ctrl-Z and fg once more")
    os.write(t.fd, b"xq")
    t.wait(rb"\x1b\[\?1049l", rb"next: ")
    os.write(t.fd, b"echo ended $?\n")
    ok(t.wait(rb"ended 0") and t.modes() == COOKED, "q ends it, the terminal modes are restored")
    os.write(t.fd, b"exit\n")
    t.end()


def rows(terminal):
    """The first words of the lines between heading and sum, marks included."""
    lines = [line.rstrip() for line in terminal.frame() or [""]]
    if not any(line.startswith("sum ") for line in lines):
        return []
    lines = lines[2:next(i for i, line in enumerate(lines) if line.startswith("sum "))]
    return [re.match(r"[+ ] ?\S+|\S+", line)[0] for line in lines]


def keys(path, program):
    """Sorting by keys, and what is new."""
    daemon = Ports(path, {"tcp-9": (100, 1, 900, 1), "tcp-80": (500, 2, 510, 3),
                          "tcp-443": (300, 90, 0, 80), "group-web": (10, 60, 20, 0)})
    t = Terminal(12, 80, program + ["--socket", path, "--interval", "3600"])
    t.wait(FRAME)
    orders = {"": ("total", "tcp-80 tcp-9 tcp-443 [web]"), "i": ("in", "tcp-80 tcp-443 tcp-9 [web]"),
              "o": ("out", "tcp-9 tcp-80 [web] tcp-443"),
              "p": ("packets", "tcp-443 [web] tcp-80 tcp-9"),
              "N": ("name", "[web] tcp-9 tcp-80 tcp-443"), "t": ("total", "tcp-80 tcp-9 tcp-443 [web]")}
    for key, (name, order) in orders.items():
        if key:
            t.seen = b""
            os.write(t.fd, key.encode())
            t.wait(FRAME)
        ok(fits(t) and " ".join(rows(t)) == order and f"by {name}; " in t.frame()[0],
           f"{f'key {key}' if key else 'at first'}: sorted by {name}")
    ok(re.search(r"^\[web\] +group +80\.0 +60\.0 +160 +- ", "\n".join(t.frame()), re.M),
       "a group has its name, in brackets, and is one row")
    os.write(t.fd, b"q")
    ok(t.end() == 0 and t.restored(), "q ends it then, too")

    t = Terminal(12, 80, program + ["--socket", path, "--interval", "1", "--sort", "name",
                                    "--watch-new"])
    t.wait(FRAME)
    ok(fits(t) and rows(t) == ["  [web]", "  tcp-9", "  tcp-80", "  tcp-443"] and
       "+: new" in t.frame()[0], "--watch-new: what was there at first has no mark")
    daemon.ports = {**daemon.ports, "tcp-4444": (1, 1, 1, 1), "group-x": (1, 1, 1, 1)}
    t.seen = b""
    ok(t.wait(rb"\+ tcp-4444", rb"\x1b\[H") and t.wait(FRAME) and fits(t) and
       rows(t) == ["  [web]", "+ [x]", "  tcp-9", "  tcp-80", "  tcp-443", "+ tcp-4444"],
       "what comes up has one")
    t.resize(t.fd, 7, 80)
    t.seen = b""
    ok(t.wait(rb"and \d more, 1 new", FRAME) and rows(t)[:2] == ["  [web]", "+ [x]"],
       "where it is not shown it is counted")
    os.write(t.fd, b"q")
    t.end()
    daemon.close()


def failures(program, daemon):
    t = Terminal(24, 300, program)
    t.wait(FRAME)
    daemon.close()
    ok(t.wait(rb"\x1b\[H\x1b\[Kno response since [^\n]*LoadPlugin unixsock.*\x1b\[H") and shown(t),
       "collectd ends: shown, and the table stays")
    daemon.mode = b"nothing\n"
    daemon.listen()
    ok(t.wait(rb"\x1b\[H\x1b\[Kno response since [^\n]*Protocol error.*\x1b\[H") and shown(t),
       "an invalid reply: the same")
    daemon.mode = "answer"
    t.seen = b""
    ok(t.wait(rb"\x1b\[H\x1b\[Ktc_portbytes [^\n]*\n.*\x1b\[H"),
       "collectd is back: the status is normal again")
    daemon.mode = "hang"
    daemon.asked.wait(TIMEOUT)
    os.kill(t.pid, signal.SIGTERM)
    ok(t.end() == -signal.SIGTERM and t.restored(), "SIGTERM ends it while collectd hangs")


# ---- what is no answer of collectd's ----

LIST = b"2000000000 Values found\n"
SERIES = b"1.000 h/tc_portbytes-eth0/port_traffic-tcp-%d\n"
FOUR = b"4 Values found\nrx_bytes=9e4\nrx_packets=1e2\ntx_bytes=4e4\ntx_packets=2e2\n"


class Hostile(Daemon):
    """Sends what the generator yields, whatever it is asked."""

    def __init__(self, path, replies):
        self.replies = replies
        super().__init__(path)

    def talk(self, connection):
        try:
            connection.recv(1)
            for reply in self.replies():
                connection.sendall(reply)
        except OSError:
            pass
        finally:
            connection.close()


def slowly():
    for byte in LIST + SERIES % 1 * 1000:
        yield bytes([byte])
        time.sleep(0.5)


def forever(*replies):
    def generator():
        yield from replies[:-1]
        while True:
            time.sleep(0.01)
            yield replies[-1]
    return generator


def many_series():
    yield LIST
    for n in range(0, 200000, 1000):
        yield b"".join(SERIES % (n + k) for k in range(1000))


# What it does, the words of the error, and the time within which it ends.
HOSTILE = {
    "nonsense": (lambda: iter([b"\x1b[2Jnothing\n"]), b"Protocol error", 20),
    "an error": (lambda: iter([b"-1 no\n"]), b"Protocol error", 20),
    "the end in the middle": (lambda: iter([LIST + (SERIES % 1)[:9]]), b"reset by peer", 20),
    "an endless line": (forever(LIST, b"x" * 1000), b"Protocol error", 20),
    "series without end": (many_series, b"more than 100000 series", 20),
    "other lines without end": (forever(LIST, b"1.000 h/cpu-0/cpu-idle\n" * 500), b"timed out", 60),
    "a byte at a time": (slowly, b"timed out", 60),
}


def start_query(program, path, *options):
    """Its memory is limited to 300 MB, so that it ends otherwise if it takes more."""
    return subprocess.Popen(["prlimit", "--as=300000000", program, "--socket", path, "--once",
                             *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def full(path):
    """A server that doesn't accept, and whose backlog is full."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(0)
    clients = [socket.socket(socket.AF_UNIX) for n in range(3)]
    for client in clients:
        client.setblocking(False)
        client.connect_ex(path)
    return server, clients


def hostile(path, program):
    hung = Daemon(path + "-hung")
    hung.mode = "hang"
    held = full(path + "-full")
    queries = {"no answer": (start_query(program, hung.path), b"timed out", 60),
               "no accept": (start_query(program, path + "-full"), b"timed out", 60)}
    for n, (name, (replies, words, limit)) in enumerate(HOSTILE.items()):
        server = Hostile(f"{path}-{n}", replies)
        queries[name] = start_query(program, server.path), words, limit
    names(path + "-names", program)
    began = time.monotonic()
    for name, (query, words, limit) in sorted(queries.items(), key=lambda item: item[1][2]):
        out, errors = query.communicate(timeout=TIMEOUT)
        passed = (query.returncode == 1 and errors.count(b"\n") == 1 and words in errors
                  and not out and time.monotonic() - began < limit)
        ok(passed, f"{name}: one line that says so, within {limit} s")
        if not passed:
            print(f"# {query.returncode} {errors!r} {out[:99]!r}", file=sys.stderr)
    hung.close()
    del held


def names(path, program):
    """A network client chooses names, and collectd prints them as they are."""
    class Named(Daemon):
        def answer(self, command):
            if command.startswith(b"LISTVAL"):
                return (b"4 Values found\n1.000 a\nb/tc_portbytes-eth0/port_traffic-tcp-1\n"
                        b"1.000 \n1.000 /\n1.000 h/tc_portbytes-e\x1b[2J\xc2\x9b/port_traffic-tcp-2\n"
                        b"1.000 %s/tc_portbytes-%s/port_traffic-%s\n" % (
                            b"h" * 127, b"i" * 112, b"t" * 127) +
                        b"".join(SERIES % n for n in (3, 4)))
            if command.startswith(b"GETVAL"):
                if b"-tcp-4" in command:
                    return b"-1 No such value\n"
                return FOUR
            return super().answer(command)

    server = Named(path)
    for options in (), ("--json",):
        out, errors = start_query(program, path, *options).communicate(timeout=TIMEOUT)
        shown = [b"tcp-%d" % n in out for n in range(1, 5)]
        ok(not errors and shown == [False, True, True, False] and (b"t" * 127 in out) == bool(options)
           and all(32 <= byte <= 126 or byte == 10 for byte in out)
           and (options or max(map(len, out.split(b"\n"))) <= 80),
           f"odd names{' in JSON' * len(options)}: all other series are shown, as printable ASCII")
    server.close()


def terminal(path, program):
    daemon = Daemon(path)
    command = [program, "--socket", path, "--interval"]
    screens(command + ["3600"])
    jobs(command + ["3600"])
    failures(command + ["1"], daemon)
    daemon.close()
    keys(path + "-keys", [program])


if __name__ == "__main__":
    if sys.argv[1] == "agrees":
        agrees(sys.argv[2:])
    else:
        globals()[sys.argv[1]](*sys.argv[2:])
