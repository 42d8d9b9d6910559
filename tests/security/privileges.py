#!/usr/bin/python3
"""What a pool's server may still do once it serves: nothing that serving does not take.

    tests/security/privileges.py [--budget SECONDS] [--seed N]       with THINVOL_BIN set

Goal    S58: a server is never root where its user is not, and as root keeps two capabilities, or
        five where there are block devices, for good; neither it nor its hooks get more, also after
        it was replaced; one that has keys leaves no core dump and shows its memory to nobody; what
        it says of itself is what the kernel shows.
Method  servers of root, of a user, and of a user with capabilities that others gave him, with and
        without TLS, under load of several clients, replaced; /proc/PID/task/*/status of each
        thread, and of a hook. Needs root; else it is skipped.
"""

import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "prove"))
import row_program  # noqa: E402
from row_program import MIB, Home, check  # noqa: E402

SKIPPED = 77
USER = 61001
PATIENCE_S = 20
NAMES = {1: "dac_override", 14: "ipc_lock", 19: "sys_ptrace", 21: "sys_admin", 24: "sys_resource"}
ALWAYS = (1, 14)
DRIVERS = os.path.exists("/dev/ublk-control") or os.path.exists("/sys/module/nbd")
KEPT = sum(1 << number for number in NAMES if DRIVERS or number in ALWAYS)
NET_ADMIN = 1 << 12
HOOK = """#!/bin/sh
grep -E '^(Cap|NoNewPrivs|Uid)' /proc/self/status > "$0.told.new"
mv "$0.told.new" "$0.told"
"""


class Place(Home):
    """An installation of that user's, who sees the programs too."""

    def __init__(self, bin_dir, seed, user):
        super().__init__(bin_dir, seed)
        self.user = user
        self.bin_dir = self.file("bin")
        os.mkdir(self.bin_dir)
        for program in ("thinvol", "thinvold"):
            shutil.copy(os.path.join(bin_dir, program), self.bin_dir)
        for link in pathlib.Path(bin_dir).glob("tv*"):
            os.symlink("thinvol", os.path.join(self.bin_dir, link.name))
        pathlib.Path(self.file("pv.img")).touch()
        self.give(self.folder)
        for path in pathlib.Path(self.folder).rglob("*"):
            self.give(path)
        self.as_him = {"user": user, "group": user, "extra_groups": []}

    def give(self, path):
        os.chown(path, self.user, self.user, follow_symlinks=False)

    def run(self, *arguments, timeout_s=60, before_exec=None):
        return subprocess.run(arguments, env=self.environment, timeout=timeout_s, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
                              cwd=self.folder, stderr=subprocess.PIPE, preexec_fn=before_exec,
                              **self.as_him)

    def program(self, name, text):
        pathlib.Path(self.file(name)).write_text(text)
        os.chmod(self.file(name), 0o755)
        self.give(self.file(name))
        return self.file(name)

    def volume_of(self, name, *settings):
        self.pool(f"p-{name}", "16m")
        for setting in ("nbd.threads=3", *settings):
            self.command("tvchange", "--setting", setting, f"vg0/p-{name}")
        return self.volume(name, 16 * MIB, pool=f"p-{name}")


def status_in(text):
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {"uids": set(map(int, fields["Uid"].split())), "no_new": int(fields["NoNewPrivs"]),
            **{key: int(fields["Cap" + key], 16) for key in ("Inh", "Prm", "Eff", "Amb")}}


def threads_of(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/status")
    return [status_in(task.read_text()) for task in tasks]


def in_words(told, secret):
    kept = [NAMES.get(n, str(n)) for n in range(64) if told["Prm"] >> n & 1]
    return (f"uid={min(told['uids'])} capabilities={','.join(kept) or 'none'} no_new_privs="
            f"{'yes' if told['no_new'] else 'no'} core_dumps={'no' if secret else 'yes'}")


def check_least(what, told, user, had):
    check(told["uids"] == {user}, f"{what}: users {told['uids']}")
    check(told["no_new"] == 1, f"{what}: it, and what it starts, may get new privileges")
    for kind in ("Prm", "Eff"):
        check(told[kind] == had & KEPT, f"{what}: Cap{kind} is {told[kind]:x}, of {had:x}")
    check(told["Inh"] & ~KEPT == 0 and told["Amb"] & ~KEPT == 0, f"{what}: {told}")


def look_at(row, home, volume, what, had, secret, clear):
    """All threads of a server, while it serves several clients where they need no papers."""
    clients = [volume.connect() for _ in range(4)] if clear else []
    for at, client in enumerate(clients):
        client.write(at * MIB, b"x" * 1000)
        check(client.read(at * MIB, 1000) == b"x" * 1000, f"{what}: other contents")
    pid = volume.server().pid
    threads = threads_of(pid)
    check(len(threads) > (2 if clear else 0), f"{what}: {len(threads)} threads")
    for told in threads:
        check_least(what, told, home.user, had)
    said = volume.field("server_privileges")
    check(said == in_words(threads[0], secret), f"{what}: it says {said!r}")
    row.count(f"{what}: threads", len(threads))
    row.count(f"{what}: words")
    for client in clients:
        client.close()
    if home.user:
        reads = home.run("head", "-c", "1", f"/proc/{pid}/environ").returncode == 0
        check(reads != secret, f"{what}: its memory is {'' if reads else 'not '}shown to its user")
        row.count(f"{what}: memory")


def servers(row, home, had):
    keys = home.file("keys.psk")
    home.tool("psktool", "-u", "bob", "-p", keys)
    who = "root" if home.user == 0 else "user"
    for name, secret, settings in (
            ("clear", False, []), ("allowed", True, ["nbd.tls=allow", f"nbd.tls_keys={keys}"]),
            ("required", True, ["nbd.tls=require", f"nbd.tls_keys={keys}"])):
        volume = home.volume_of(name, *settings)
        clear = name != "required"
        for _ in range(2):
            volume.activate()
            look_at(row, home, volume, f"{who} {name}", had, secret, clear)
            for round_ in ("once", "twice"):
                volume.wait_for_clients(0)
                home.command("tvchange", "--refresh", f"vg0/p-{name}")
                look_at(row, home, volume, f"{who} {name} replaced {round_}", had, secret, clear)
            volume.wait_for_clients(0)
            volume.deactivate()


def hooks(row, home, had):
    for kept in ("least", "all"):
        hook = home.program(f"hook-{kept}", HOOK)
        volume = home.volume_of(f"h-{kept}", f'events.hook=["{hook}"]', "warnings.levels=[10]",
                                f"activation.privileges={kept}").activate()
        with volume.connect() as client:
            client.write(0, b"x" * 8 * MIB)
            client.flush()
        end = time.monotonic() + PATIENCE_S
        while not os.path.exists(hook + ".told"):
            check(time.monotonic() < end, "the hook was not run")
            time.sleep(0.02)
        told = status_in(pathlib.Path(hook + ".told").read_text())
        server = threads_of(volume.server().pid)[0]
        if kept == "least":
            check_least(f"hook of {home.user}", told, home.user, had)
        else:
            for one in (told, server):
                check(one["no_new"] == 0 and one["Prm"] == had, f"all is not all: {one}")
        row.count(f"hook {home.user} {kept}")
        volume.wait_for_clients(0)
        volume.deactivate()


def given(row, home):
    """A user's server to whom somebody gave capabilities keeps those that serve."""
    volume = home.volume_of("given")
    caps = "+net_admin,+dac_override"
    done = subprocess.run(
        ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", "--inh-caps",
         caps, "--ambient-caps", caps, os.path.join(home.bin_dir, "tvchange"), "-ay", volume.path],
        env=home.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    check(done.returncode == 0, f"with capabilities: {done.stderr}")
    home.remember(volume.server())
    for told in threads_of(volume.server().pid):
        check_least("with capabilities", told, USER, NET_ADMIN | 2)
        row.count("with capabilities")
    home.command("tvchange", "--refresh", "vg0/p-given")
    for told in threads_of(volume.server().pid):
        check_least("with capabilities, replaced", told, USER, NET_ADMIN | 2)
        row.count("with capabilities, replaced")
    volume.deactivate()


def dumps_core(home, name):
    """Whether a server that is killed by SIGSEGV does."""
    uuid = home.command("tvs", "--noheadings", "-o", "lv_uuid", f"vg0/p-{name}")
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.chdir(home.folder)
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
            os.dup2(told, 3)
            os.execve(os.path.join(home.bin_dir, "thinvold"),
                      ["thinvold", "--ready-fd=3", uuid.strip().replace("-", "")],
                      home.environment)
        finally:
            os._exit(1)
    os.close(told)
    said = os.read(ready, 1000)
    os.close(ready)
    os.kill(child, signal.SIGSEGV)
    status = os.waitpid(child, 0)[1]
    check(said == b"ok" and os.WTERMSIG(status) == signal.SIGSEGV, f"{name}: {said}, {status}")
    return os.WCOREDUMP(status)


def cores(row, home):
    check(not dumps_core(home, "required"), "a server with keys leaves a core dump")
    row.count("core dump with keys")
    # Where the machine allows any.
    if dumps_core(home, "clear"):
        row.count("core dump without keys")


def privileges(row, bin_dir):
    had = status_in(pathlib.Path("/proc/self/status").read_text())["Prm"]
    for user in (0, USER):
        home = Place(bin_dir, row.seed, user)
        try:
            home.begin_with(256 * MIB, "pv.img")
            has = 0 if user else had
            servers(row, home, has)
            hooks(row, home, has)
            if user:
                given(row, home)
            else:
                cores(row, home)
        finally:
            home.close()


if os.geteuid() != 0:
    print("only root can be other users", file=sys.stderr)
    sys.exit(SKIPPED)
row_program.main(privileges, __doc__.splitlines()[0], 20)
