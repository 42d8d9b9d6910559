#!/usr/bin/python3
"""What other users of the machine can do with somebody's Thinvol: nothing that they were not given.

    tests/security/foreign_users.py [--budget SECONDS] [--seed N]    with THINVOL_BIN set

Goal    S55: sockets, directories, catalog, locks and logs are their owner's; a socket that is
        opened to a group is that group's; a directory that is a link, or somebody else's, or that
        others may write to, is refused before anything is put there.
Method  an owner, a fellow of one of his groups, a stranger, and root, as processes with those ids,
        each try each thing. Needs root, or a user namespace with several users; else it is skipped.
        The last line is `executed distinct failures`.
"""

import grp
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SKIPPED = 77
OWNER, FELLOW, STRANGER, ROOT = "owner", "fellow", "stranger", "root"
GROUP = next(g for g in grp.getgrall() if g.gr_name == "users")
IDS = {  # user, group, other groups
    OWNER: (61001, 61001, [GROUP.gr_gid]),
    FELLOW: (61002, 61002, [GROUP.gr_gid]),
    STRANGER: (61003, 61003, []),
    ROOT: (0, 0, []),
}
EVERYBODY = (OWNER, FELLOW, STRANGER, ROOT)


def become(who):
    user, group, groups = IDS[who]
    return {"user": user, "group": group, "extra_groups": groups}


class Matrix:
    def __init__(self, folder):
        self.folder = folder
        self.executed, self.seen, self.failures = 0, set(), 0
        self.bin = folder / "bin"
        self.home = folder / "owner"
        self.bin.mkdir()
        source = pathlib.Path(os.environ["THINVOL_BIN"])
        for program in ("thinvol", "thinvold"):
            shutil.copy(source / program, self.bin)
        for link in source.glob("tv*"):
            (self.bin / link.name).symlink_to("thinvol")
        self.home.mkdir()
        os.chown(self.home, *IDS[OWNER][:2])

    def environment(self, **other):
        places = {f"THINVOL_{name}_DIR": str(self.home / name.lower())
                  for name in ("STATE", "RUN", "CONFIG")}
        return {"PATH": f"{self.bin}:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C",
                "HOME": str(self.home), **places, **other}

    def run(self, who, *words, **other):
        return subprocess.run(words, env=self.environment(**other), cwd=self.home,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False, timeout=60, **become(who))

    def must(self, who, *words):
        ended = self.run(who, *words)
        if ended.returncode != 0:
            raise RuntimeError(f"{who}: {' '.join(words)}: {ended.stderr}")
        return ended.stdout

    def note(self, what, held, why=""):
        self.executed += 1
        self.seen.add(what)
        if not held:
            self.failures += 1
            print(f"{what}: {why}", file=sys.stderr)

    def expect(self, what, who, allowed, attempt):
        """Whether who may do it; `attempt` is a program of Python's that fails if not."""
        ended = subprocess.run([sys.executable, "-c", attempt], cwd="/", capture_output=True,
                               text=True, check=False, timeout=60, **become(who))
        did = ended.returncode == 0
        self.note(f"{who} {what}", did == allowed,
                  "it worked" if did else "refused: " + ended.stderr.strip()[-200:])

    def refused(self, what, pattern, who, *words, **other):
        ended = self.run(who, *words, **other)
        self.note(what, ended.returncode in (4, 5) and pattern in ended.stderr,
                  f"status {ended.returncode}: {ended.stdout}{ended.stderr}")


def connects(path, first_bytes):
    return (f"import socket\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(5)\n"
            f"s.connect({str(path)!r})\n"
            f"assert s.recv({len(first_bytes)}) == {first_bytes!r}")


def sockets(matrix, nbd_of=(OWNER, ROOT)):
    run = matrix.home / "run"
    for who in EVERYBODY:
        control, nbd = next(run.glob("*.ctl")), next(run.glob("*.nbd"))
        matrix.expect("asks the server", who, who in (OWNER, ROOT), connects(control, b"TVCTL"))
        matrix.expect("is a client", who, who in nbd_of, connects(nbd, b"NBDMAGIC"))


def files(matrix):
    run, state = matrix.home / "run", matrix.home / "state"
    log = next(run.glob("*.log"))
    lock = next((state / "locks").iterdir())
    attempts = {
        "lists the sockets": f"import os; os.listdir({str(run)!r})",
        "lists the state": f"import os; os.listdir({str(state)!r})",
        "reads the catalog": f"open({str(state / 'catalog.db')!r}, 'rb').read(16)",
        "writes the catalog": f"open({str(state / 'catalog.db')!r}, 'r+b')",
        "reads a server's log": f"open({str(log)!r})",
        "opens a lock": f"open({str(lock)!r}, 'r+b')",
        "leaves a file among the sockets": f"open({str(run / 'x')!r}, 'w')",
        "leaves a file in the state": f"open({str(state / 'x')!r}, 'w')",
    }
    for what, attempt in attempts.items():
        for who in EVERYBODY:
            matrix.expect(what, who, who in (OWNER, ROOT), attempt)
    for path in (run / "x", state / "x"):
        path.unlink(missing_ok=True)


def commands(matrix):
    """Of others on the owner's directories."""
    before = matrix.must(OWNER, "tvs", "-a", "-o", "lv_all")
    for who in (FELLOW, STRANGER, ROOT):
        for words in (("tvcreate", "-V", "8m", "-T", "vg0/pool0"), ("tvremove", "-y", "vg0/v"),
                      ("tvchange", "-an", "vg0"), ("tvgremove", "-ff", "-y", "vg0")):
            matrix.refused(f"{who} {words[0]}", str(matrix.home), who, *words)
    after = matrix.must(OWNER, "tvs", "-a", "-o", "lv_all")
    matrix.note("what they left", after == before, after)


def directories(matrix):
    """That nobody should trust."""
    image = matrix.folder / "mine.img"
    image.touch()
    os.truncate(image, 64 << 20)
    os.chown(image, *IDS[OWNER][:2])
    words = ("tvgcreate", "theirs", str(image))

    def refused(what, pattern, **other):
        matrix.refused(what, pattern, OWNER, *words, **other)

    theirs = matrix.home / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, *IDS[STRANGER][:2])
    loose = matrix.home / "loose"
    loose.mkdir()
    os.chown(loose, *IDS[OWNER][:2])
    own = matrix.home / "own"
    own.mkdir(mode=0o700)
    os.chown(own, *IDS[OWNER][:2])
    link, outwards = matrix.home / "link", matrix.home / "outwards"
    link.symlink_to(own)
    outwards.symlink_to(theirs)
    refused("a state directory of another's", "belongs to user 61003",
            THINVOL_STATE_DIR=str(theirs))
    refused("a link to an own one", "not a directory", THINVOL_STATE_DIR=str(link))
    refused("a link with a slash behind it", "not a directory", THINVOL_STATE_DIR=f"{link}/")
    refused("a link to another's", "not a directory", THINVOL_STATE_DIR=str(outwards))
    for mode in (0o720, 0o702, 0o777, 0o1777):
        os.chmod(loose, mode)
        refused(f"a directory of mode {mode:o}", "may be written by others",
                THINVOL_STATE_DIR=str(loose))
    refused("a relative directory", "absolute", THINVOL_STATE_DIR="state")
    matrix.note("nothing was put there", not any(map(os.listdir, (theirs, loose, own))))

    def not_served(what, pattern, **other):
        matrix.refused(what, pattern, OWNER, "tvchange", "-ay", "vg0/v", **other)

    not_served("sockets in another's directory", "denied", THINVOL_RUN_DIR=str(theirs))
    not_served("sockets behind a link", "not a directory", THINVOL_RUN_DIR=str(link))
    not_served("sockets where others write", "may be written", THINVOL_RUN_DIR=str(loose))
    config = own / "thinvol.toml"
    config.touch()
    os.chmod(config, 0o644)
    os.chown(config, *IDS[STRANGER][:2])
    os.chmod(own, 0o755)
    not_served("another's thinvol.toml", "can be written by others", THINVOL_CONFIG_DIR=str(own))
    os.chown(config, *IDS[OWNER][:2])
    os.chmod(config, 0o620)
    not_served("a thinvol.toml of mode 620", "can be written by others",
               THINVOL_CONFIG_DIR=str(own))


def try_all(matrix):
    image = matrix.home / "pv.img"
    image.touch()
    os.truncate(image, 256 << 20)
    os.chown(image, *IDS[OWNER][:2])
    matrix.must(OWNER, "tvgcreate", "vg0", "pv.img")
    matrix.must(OWNER, "tvcreate", "-L", "64m", "-V", "32m", "-T", "vg0/pool0", "-n", "v")
    directories(matrix)
    served = {"0600": (OWNER, ROOT), "0660": (OWNER, FELLOW, ROOT), "0666": EVERYBODY}
    for mode, may in served.items():
        settings = f'[nbd]\nsocket_mode = "{mode}"\nsocket_group = "{GROUP.gr_name}"\n'
        matrix.must(OWNER, "sh", "-c", "umask 077; mkdir -p config; cat > config/thinvol.toml <<E\n"
                    f"{settings}E")
        matrix.must(OWNER, "tvchange", "-ay", "vg0/v")
        sockets(matrix, may)
        if mode == "0600":
            files(matrix)
        commands(matrix)
        matrix.must(OWNER, "tvchange", "-an", "vg0")


def main():
    if os.geteuid() != 0:
        inside = ["unshare", "--user", "--map-root-user", "--map-auto", sys.executable, *sys.argv]
        if subprocess.run([*inside[:4], "true"], check=False, capture_output=True).returncode != 0:
            print("needs root, or a user namespace with several users", file=sys.stderr)
            sys.exit(SKIPPED)
        os.execvp(inside[0], inside)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as name:
        os.chmod(name, 0o755)
        matrix = Matrix(pathlib.Path(name))
        try:
            try_all(matrix)
        finally:
            matrix.run(OWNER, "tvchange", "-an", "vg0")
        print(matrix.executed, len(matrix.seen), matrix.failures)
        sys.exit(1 if matrix.failures else 0)


main()
