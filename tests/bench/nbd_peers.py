"""The servers that are measured beside each other, and the client that measures them.

Goal    each server as a user would start it for speed, on files of its own.
Method  a server is an object with start(), snapshot() and stop(); Load runs nbd_load on it.
"""

import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import time

BIN = pathlib.Path(__file__).resolve().parents[2] / "build/release/bin"
MiB = 1 << 20
GiB = 1 << 30
CHUNK = 65536


class Server:
    """A server of one volume on one processor; it ends with the object's stop()."""

    def __init__(self, folder, size, direct):
        self.folder, self.size, self.direct = folder, size, direct
        self.process, self.export = None, ""
        self.socket = f"{folder}/socket"

    def pid(self):
        return self.process.pid

    def launch(self, *line):
        self.process = subprocess.Popen(line, cwd=self.folder, stdin=subprocess.DEVNULL)
        while not os.path.exists(self.socket):
            if self.process.poll() is not None:
                raise SystemExit(f"{' '.join(line)}: ended with {self.process.returncode}")
            time.sleep(0.01)

    def stop(self):
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.process = None
        pathlib.Path(self.socket).unlink(missing_ok=True)

    def tool(self, *line):
        done = subprocess.run(line, cwd=self.folder, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(line)}: {done.stderr}")
        return done.stdout


class Thinvol(Server):
    name = "thinvol"

    def run(self, *line):
        environment = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}")
        for name in ("STATE", "RUN", "CONFIG"):
            environment[f"THINVOL_{name}_DIR"] = f"{self.folder}/{name.lower()}"
        done = subprocess.run(line, env=environment, cwd=self.folder, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(line)}: {done.stderr}")
        return done.stdout.strip()

    def start(self):
        with open(f"{self.folder}/pv.img", "wb") as file:
            file.truncate(3 * self.size)
        self.run("tvgcreate", "vg0", "pv.img")
        self.run("tvcreate", "-L", f"{2 * self.size}b", "-c", "64k", "-V", f"{self.size}b",
                 "-T", "vg0/pool", "-n", "v")
        self.run("tvchange", "-ay", "vg0/v")
        self.socket = self.run("tvs", "--noheadings", "-o", "uri", "vg0/v").split("socket=")[1]
        self.export = "v"

    def pid(self):
        return int(self.run("tvs", "--noheadings", "-o", "server_pid", "vg0/v"))

    def snapshot(self, n=0):
        self.run("tvsnapshot", "-n", f"s{n}", "vg0/v")

    def stop(self):
        self.run("tvchange", "-an", "vg0")


class Qcow2(Server):
    name = "qcow2"
    options = "cluster_size=64k"

    def start(self):
        self.tool("qemu-img", "create", "-q", "-f", "qcow2", "-o", self.options, "disk.qcow2",
                  str(self.size))
        self.serve("disk.qcow2")

    def serve(self, image):
        cache = "cache.direct=on,aio=io_uring" if self.direct else "cache.direct=off,aio=threads"
        self.launch("qemu-storage-daemon",
                    "--blockdev", f"file,node-name=file,filename={image},discard=unmap,{cache}",
                    "--blockdev", "qcow2,node-name=disk,file=file,discard=unmap",
                    "--nbd-server", f"addr.type=unix,addr.path={self.socket}",
                    "--export", "nbd,id=e,node-name=disk,name=v,writable=on")
        self.export = "v"


class Subclusters(Qcow2):
    name = "qcow2, subclusters"
    options = "cluster_size=64k,extended_l2=on"


class InternalSnapshot(Qcow2):
    name = "qcow2, internal snapshot"

    def snapshot(self, n=0):
        self.stop()
        self.tool("qemu-img", "snapshot", "-c", f"s{n}", "disk.qcow2")
        self.serve("disk.qcow2")


class Overlay(Qcow2):
    name = "qcow2, overlay"

    def snapshot(self, n=0):
        self.stop()
        self.tool("qemu-img", "create", "-q", "-f", "qcow2", "-o", self.options, "-b", "disk.qcow2",
                  "-F", "qcow2", "overlay.qcow2")
        self.serve("overlay.qcow2")


class Raw(Server):
    name = "raw"

    def start(self):
        with open(f"{self.folder}/disk.raw", "wb") as file:
            file.truncate(self.size)
        if self.direct:
            self.launch("qemu-storage-daemon", "--blockdev",
                        "file,node-name=disk,filename=disk.raw,cache.direct=on,aio=io_uring,"
                        "discard=unmap",
                        "--nbd-server", f"addr.type=unix,addr.path={self.socket}",
                        "--export", "nbd,id=e,node-name=disk,name=v,writable=on")
            self.export = "v"
        else:
            self.launch("nbdkit", "-f", "-U", self.socket, "file", "disk.raw")


def tasks(pid):
    return [int(t) for t in os.listdir(f"/proc/{pid}/task")]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_memory(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0


class Load:
    """Runs nbd_load on a server, both on the last processor unless split."""

    def __init__(self, server, seconds):
        self.server, self.seconds = server, seconds
        self.last = max(os.sched_getaffinity(0))

    def __call__(self, command, size, depth, split=False, **options):
        pid = self.server.pid()
        for task in tasks(pid):
            with contextlib.suppress(ProcessLookupError):  # a thread that ended
                os.sched_setaffinity(task, {self.last})
        client = {min(os.sched_getaffinity(0))} if split else {self.last}
        options.setdefault("seconds", self.seconds)
        words = [f"{name}={value}" for name, value in options.items()]
        before = cpu_seconds(pid)
        done = subprocess.run([str(BIN / "nbd_load"), self.server.socket, self.server.export,
                               command, str(size), str(depth), *words], text=True, check=True,
                              stdout=subprocess.PIPE,
                              preexec_fn=lambda: os.sched_setaffinity(0, client))
        result = json.loads(done.stdout)
        result["cpu"] = (cpu_seconds(pid) - before) / max(1, result["requests"])
        result["rate"] = result["requests"] / result["seconds"]
        if size >= MiB:
            result["rate"] *= size / MiB
        return result


class Results:
    """row -> server's name -> what each round measured"""

    def __init__(self):
        self.rows = {}

    def add(self, row, server, value):
        self.rows.setdefault(row, {}).setdefault(server, []).append(value)

    def of(self, row, server):
        values = self.rows.get(row, {}).get(server)
        return statistics.median(values) if values else None
