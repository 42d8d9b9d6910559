"""Installation: a temporary one of Thinvol, with pools, volumes and their servers, and its end.

Commands come from the folder named by THINVOL_BIN. Whatever happens, close() stops the servers and
removes the folder; main() in nbd_test.py calls it on every way out that a program can see.
"""

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

import raw_client

SOCKET_PATH_MAX = 107
SOCKET_NAME_LENGTH = len("/" + 32 * "0" + ".nbd")
COMMAND_PATIENCE_S = 30


class Process:
    """A process that is not our child, held by a descriptor: numbers change hands."""

    def __init__(self, pid):
        self.pid = pid
        self.fd = os.pidfd_open(pid)

    def kill(self):
        try:
            signal.pidfd_send_signal(self.fd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def ended(self, timeout_s=0.0):
        return bool(select.select([self.fd], [], [], timeout_s)[0])

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise AssertionError(f"process {self.pid} has no memory: it ended")


class Volume:
    """A thin volume; active after activate(), perhaps by another server than before."""

    def __init__(self, installation, pool, name, size):
        self.installation = installation
        self.pool = pool
        self.name = name
        self.size = size
        self.path = f"vg0/{name}"
        self.uri = None
        self.socket = None

    def activate(self):
        self.installation.command("tvchange", "-ay", self.path)
        self.installation.remember(self.server())
        self.uri = self.field("uri")
        query = urllib.parse.urlsplit(self.uri).query
        self.socket = urllib.parse.parse_qs(query)["socket"][0]
        return self

    def deactivate(self):
        self.installation.command("tvchange", "-an", self.path)

    def remove(self):
        """Refused while a client is connected, so it also proves that none was left behind."""
        self.wait_for_clients(0)
        self.deactivate()
        self.installation.command("tvremove", "-y", self.path)

    def field(self, name):
        return self.installation.command("tvs", "--noheadings", "-o", name, self.path).strip()

    def server(self):
        return Process(int(self.field("server_pid")))

    def clients(self):
        return int(self.field("clients"))

    def wait_for_clients(self, n):
        """Connections end when the server sees their end, a moment after the client closed."""
        deadline = time.monotonic() + raw_client.PATIENCE_S
        while (now := self.clients()) != n:
            if time.monotonic() > deadline:
                raise AssertionError(f"{now} clients are connected to {self.name}, not {n}")

    def mapped_bytes(self):
        return round(float(self.field("data_percent")) * self.size / 100)

    def raw(self):
        """A connection on which nothing was said yet."""
        return raw_client.RawClient(self.socket)

    def connect(self):
        return raw_client.transmitting(self.socket, self.name)


class Installation:
    def __init__(self, bin_dir, seed):
        self.bin_dir = os.path.realpath(bin_dir)
        self.seed = seed
        self.servers = []
        self.folder = tempfile.mkdtemp(prefix="tvnbd.")
        run_dir = os.path.join(self.folder, "run")
        self.folders = [self.folder]
        if len(run_dir) + SOCKET_NAME_LENGTH > SOCKET_PATH_MAX:
            run_dir = tempfile.mkdtemp(prefix="tvnbd.", dir="/tmp")
            self.folders.append(run_dir)
        self.run_dir = run_dir
        self.environment = dict(os.environ, THINVOL_RUN_DIR=run_dir,
                                PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
        for name in ("STATE", "CONFIG"):
            self.environment[f"THINVOL_{name}_DIR"] = os.path.join(self.folder, name.lower())
        for name in ("STATE", "CONFIG", "RUN"):
            os.makedirs(self.environment[f"THINVOL_{name}_DIR"], mode=0o700, exist_ok=True)

    def begin(self):
        """The group, and the pool that most tests share."""
        image = self.file("pv.img")
        with open(image, "wb") as file:
            file.truncate(3 << 30)
        self.command("tvgcreate", "vg0", image)
        self.pool("pool0", "1536m")

    def file(self, name):
        return os.path.join(self.folder, name)

    def random(self, purpose):
        """A generator of its own for each purpose, so that tests alone do what they do together."""
        return random.Random(f"{self.seed} {purpose}")

    def run(self, *arguments, timeout_s=COMMAND_PATIENCE_S, before_exec=None):
        return subprocess.run(arguments, env=self.environment, timeout=timeout_s, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, preexec_fn=before_exec)

    def tool(self, *arguments, timeout_s=COMMAND_PATIENCE_S, before_exec=None):
        """Runs a program that must succeed; what it printed."""
        done = self.run(*arguments, timeout_s=timeout_s, before_exec=before_exec)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(arguments)}: status {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        return done.stdout

    def command(self, name, *arguments, before_exec=None):
        return self.tool(os.path.join(self.bin_dir, name), *arguments, before_exec=before_exec)

    def pool(self, name, size):
        self.command("tvcreate", "-L", size, "-T", f"vg0/{name}")

    def volume(self, name, size, pool="pool0", read_only=False):
        """A new volume of that many bytes, not active yet."""
        permission = "r" if read_only else "rw"
        self.command("tvcreate", "-V", f"{size}b", "-T", f"vg0/{pool}", "-n", name,
                     "-p", permission)
        return Volume(self, pool, name, size)

    def remember(self, server):
        """Servers to be stopped at the end, even if no command finds them any more."""
        if all(server.pid != known.pid or known.ended() for known in self.servers):
            self.servers.append(server)

    def judge(self):
        """What the tests left is sound: by our recount, and by thin_check."""
        pools = self.command("tvs", "--noheadings", "-o", "lv_full_name,lv_attr").splitlines()
        for name in (line.split()[0] for line in pools if line.split()[1].startswith("t")):
            self.command("tvcheck", name)
            image = self.file("judged.img")
            self.command("tvdump", "--format", "raw", "-o", image, name)
            self.tool("thin_check", "-q", image)
            os.remove(image)

    def close(self):
        try:
            self.run(os.path.join(self.bin_dir, "tvchange"), "-an", "vg0")
        except (OSError, subprocess.TimeoutExpired):
            pass
        for server in self.servers:
            server.kill()
        self.show_logs()
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)

    def show_logs(self):
        """What servers printed: nothing, unless something went wrong."""
        for name in sorted(os.listdir(self.run_dir)):
            if not name.endswith(".log"):
                continue
            with open(os.path.join(self.run_dir, name), errors="replace") as log:
                if text := log.read()[-4000:]:
                    print(f"--- {name}\n{text}", file=sys.stderr)


current: Installation = None  # set by main() before the first test


class ServerTest(unittest.TestCase):
    """What the tests share: a volume for each class, made when its first test asks for it."""

    def setUp(self):
        self.installation = current
        self.random = current.random(self.id())

    @classmethod
    def new_volume(cls, name, size=16 << 20, **how):
        volume = current.volume(name, size, **how).activate()
        cls.addClassCleanup(volume.remove)
        return volume

    def closing(self, client):
        self.addCleanup(client.close)
        return client

    def connect(self, volume):
        return self.closing(volume.connect())

    def assert_dropped(self, client, text="the server did not drop the client"):
        """Nothing more comes but the end of the connection."""
        try:
            self.assertEqual(b"", client.until_closed(), text)
        except TimeoutError as error:
            raise AssertionError(text) from error
