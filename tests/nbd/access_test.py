"""Who may see, read and write which export.

Goal    the first rule that fits a client decides: by its user and groups, as the kernel knows them,
        by its certificate or pre-shared key, as TLS proved them; what one may not see is as what
        does not exist; settings that cannot be read let nobody in.
Method  raw clients whose sockets were connected by processes of other users, behind Python's ssl
        and nbdinfo, against pools of their own; rules changed while they are connected.
"""

import os
import socket
import sqlite3
import struct
import time
import unittest

import installation
import raw_client as nbd
import tls_test
from installation import ServerTest

SIZE = 4 << 20
READ_ONLY = 2  # of the transmission flags
WRITER, READER, STRANGER, GROUP = 61001, 61002, 61003, 61009

as_root = unittest.skipUnless(os.geteuid() == 0, "only root can be other users")


def connected(path, uid, groups=()):
    """A client whose socket was connected by a process of that user, alone in its own group."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                socket.send_fds(theirs, [b"x"], [client.fileno()])
        finally:
            os._exit(0)
    theirs.close()
    os.waitpid(child, 0)
    descriptors = socket.recv_fds(ours, 1, 1)[1]
    ours.close()
    if not descriptors:
        raise AssertionError(f"user {uid} cannot connect to {path}")
    return nbd.RawClient(connected=socket.socket(fileno=descriptors[0]))


def settings(target, *texts):
    for text in texts:
        installation.current.command("tvchange", "--setting", text, target)


def setUpModule():
    global shown, hidden
    current = installation.current
    os.chmod(current.folder, 0o711)
    current.pool("guarded", "64m")
    settings("vg0/guarded", "nbd.socket_mode=0666")
    shown, hidden = (current.volume(name, SIZE, pool="guarded").activate()
                     for name in ("shown", "hidden"))


def tearDownModule():
    for volume in (shown, hidden):
        volume.remove()


class AccessTest(ServerTest):
    def rules(self, target, text):
        settings(target, f"nbd.access={text}")
        self.addCleanup(installation.current.command, "tvchange", "--unset", "nbd.access", target)

    def begun(self, uid, *groups):
        return self.closing(connected(shown.socket, uid, groups)).begin()

    def seen(self, uid, *groups):
        return sorted(self.begun(uid, *groups).list())

    def flags(self, client, name):
        replies = client.go(name)
        sizes = [reply.data for reply in replies if reply.type == nbd.INFO_REPLY
                 and reply.data[:2] == struct.pack(">H", nbd.INFO_EXPORT)]
        return struct.unpack(">HQH", sizes[0])[2]


@as_root
class Users(AccessTest):
    def test_without_rules_whoever_is_let_in_may_do_all(self):
        client = self.begun(STRANGER)
        self.assertEqual(["hidden", "shown"], sorted(client.list()))
        self.assertFalse(self.flags(client, "shown") & READ_ONLY)
        client.must(nbd.WRITE, 0, payload=b"x" * 512)

    def test_the_first_rule_that_fits_decides(self):
        self.rules("vg0/shown", f"uid:{STRANGER}=none uid:{WRITER}=rw uid:{READER}=ro "
                   f"gid:{GROUP}=ro uid:{WRITER}=none")
        self.rules("vg0/hidden", "all=none")
        self.assertEqual(["shown"], self.seen(WRITER))
        self.assertEqual(["shown"], self.seen(READER))
        self.assertEqual(["shown"], self.seen(61005, 61007, GROUP))
        self.assertEqual([], self.seen(61005))
        self.assertEqual([], self.seen(STRANGER, GROUP))
        self.assertEqual([], self.seen(0))
        self.assertFalse(self.flags(self.begun(WRITER), "shown") & READ_ONLY)

    def test_who_may_only_read_is_told_and_held_to_it(self):
        self.rules("vg0/shown", f"uid:{READER}=ro uid:{WRITER}=rw")
        writer = self.begun(WRITER)
        writer.go("shown")
        writer.must(nbd.WRITE, 0, payload=b"kept" * 128)
        for prepare in (lambda c: c, lambda c: c.structured(), lambda c: c.extend()):
            reader = prepare(self.begun(READER))
            self.assertTrue(self.flags(reader, "shown") & READ_ONLY)
            self.assertEqual(nbd.EPERM, reader.call(nbd.WRITE, 0, payload=b"x" * 512).error)
            self.assertEqual(nbd.EPERM, reader.call(nbd.TRIM, 0, SIZE).error)
            self.assertEqual(nbd.EPERM, reader.call(nbd.WRITE_ZEROES, 0, SIZE).error)
            reader.must(nbd.FLUSH)
            self.assertEqual(b"kept" * 128, reader.read(0, 512))
        old = self.begun(READER)
        old.send(nbd.option_bytes(nbd.EXPORT_NAME, b"shown"))
        self.assertTrue(struct.unpack(">QH", old.receive(10))[1] & READ_ONLY)
        self.assertEqual(nbd.EPERM, old.call(nbd.WRITE, 0, payload=b"x" * 512).error)

    def test_what_may_not_be_seen_is_as_what_does_not_exist(self):
        self.rules("vg0/hidden", "uid:0=rw")

        def answers(name):
            client = self.begun(STRANGER).structured()
            told = []
            for option, data in (
                    (nbd.INFO, nbd.info_data(name, (nbd.INFO_NAME, nbd.INFO_DESCRIPTION))),
                    (nbd.GO, nbd.info_data(name)),
                    (nbd.LIST_META_CONTEXT, nbd.context_data(name)),
                    (nbd.SET_META_CONTEXT, nbd.context_data(name, nbd.ALLOCATION)),
                    (nbd.GO, nbd.info_data(name))):
                told += [(reply.type, reply.data.replace(name.encode(), b"NAME"))
                         for reply in client.option(option, data)]
            client.send(nbd.option_bytes(nbd.EXPORT_NAME, name.encode()))
            return told, client.until_closed()

        self.assertEqual(answers("absent"), answers("hidden"))
        self.assertEqual(nbd.UNKNOWN, answers("hidden")[0][0][0])
        # The only one that is seen is the default; what is hidden does not count.
        self.assertEqual(nbd.ACK, self.begun(STRANGER).outcome(nbd.GO, nbd.info_data("")))
        self.rules("vg0/shown", "uid:0=rw")
        self.assertEqual(nbd.UNKNOWN, self.begun(STRANGER).outcome(nbd.GO, nbd.info_data("")))

    def test_changes_hold_for_new_clients_and_what_is_nearest_counts(self):
        early = self.begun(WRITER)
        early.go("shown")
        self.rules("vg0/guarded", "all=ro")
        self.assertTrue(self.flags(self.begun(WRITER), "hidden") & READ_ONLY)
        self.rules("vg0/shown", f"uid:{READER}=rw")
        self.assertEqual(["hidden"], self.seen(WRITER))
        self.assertEqual(["hidden", "shown"], self.seen(READER))
        early.must(nbd.WRITE, 0, payload=b"x" * 512)
        self.assertEqual(f"uid:{READER}=rw", shown.field("nbd_access"))
        self.assertEqual("all=ro", hidden.field("nbd_access"))
        self.installation.command("tvchange", "--unset", "nbd.access", "vg0/shown")
        self.assertTrue(self.flags(self.begun(WRITER), "shown") & READ_ONLY)


class Rules(AccessTest):
    def test_a_rule_that_is_none_is_refused_with_what_one_looks_like(self):
        for text in ("uid:1000", "uid:1000=rx", "user:5=rw", "uid:root=rw", "uid:4294967295=rw",
                     "uid:=rw", "cert:=ro", "cert:%=ro", "cert:a%0=ro", "cert:a%00b=ro", "=rw",
                     "all =rw", "uid:1=rw nonsense"):
            with self.subTest(text=text):
                with self.assertRaisesRegex(AssertionError, "status 3.*(?s:.)*a rule is WHO=RIGHT"):
                    settings("vg0/shown", f"nbd.access={text}")
        self.assertEqual("", shown.field("nbd_access"))
        with self.assertRaisesRegex(AssertionError, "can only be set in"):
            settings("vg0/shown", "nbd.tls=off")

    def test_a_snapshot_is_guarded_as_its_origin(self):
        self.rules("vg0/shown", "uid:12345=ro")
        self.installation.command("tvcreate", "-s", "-n", "snap", "vg0/shown")
        self.addCleanup(self.installation.command, "tvremove", "-y", "vg0/snap")
        snap = installation.Volume(self.installation, "guarded", "snap", SIZE)
        self.assertEqual("uid:12345=ro", snap.field("nbd_access"))


class Papers(AccessTest):
    @classmethod
    def setUpClass(cls):
        current = installation.current
        cls.papers = current.file("guards")
        os.mkdir(cls.papers)
        tls_test.certificate(cls.papers, "ca", "cn = authority\nca\ncert_signing_key\n")
        for name, cn in (("client", "alice"), ("blank", "back up")):
            tls_test.certificate(cls.papers, name, f"cn = {cn}\ntls_www_client\nsigning_key\n",
                                 "ca")
        tls_test.certificate(cls.papers, "server", "cn = localhost\ndns_name = localhost\n"
                             "tls_www_server\nsigning_key\nencryption_key\n", "ca")
        cls.keys = os.path.join(cls.papers, "keys.psk")
        for name in ("bob", "eve"):
            current.tool("psktool", "-u", name, "-p", cls.keys)
        current.pool("papered", "64m")
        settings("vg0/papered", "nbd.tls=allow", f"nbd.tls_certificates={cls.papers}",
                 f"nbd.tls_keys={cls.keys}")
        cls.volume = current.volume("letters", SIZE, pool="papered").activate()
        cls.addClassCleanup(cls.volume.remove)

    def shown_to(self, name=None):
        """What is listed for who shows that certificate, over each version of TLS."""
        lists = []
        for version in (tls_test.ssl.TLSVersion.TLSv1_2, tls_test.ssl.TLSVersion.TLSv1_3):
            made = tls_test.ssl.SSLContext(tls_test.ssl.PROTOCOL_TLS_CLIENT)
            made.load_verify_locations(os.path.join(self.papers, "ca-cert.pem"))
            made.minimum_version = made.maximum_version = version
            if name is not None:
                made.load_cert_chain(os.path.join(self.papers, f"{name}-cert.pem"),
                                     os.path.join(self.papers, f"{name}-key.pem"))
            client = self.closing(self.volume.raw()).begin()
            client.must_option(nbd.STARTTLS)
            client.socket = made.wrap_socket(client.socket, server_hostname="localhost")
            lists.append(client.list())
        self.assertEqual(*lists)
        return lists[0]

    def works_with_key(self, name):
        uri = self.volume.uri.replace("nbd+", "nbds+").replace("///", f"//{name}@/")
        done = self.installation.run("nbdinfo", "--is", "read-only",
                                     f"{uri}&tls-psk-file={self.keys}")
        return {0: "ro", 2: "rw"}.get(done.returncode, "none")

    def test_by_what_tls_proved(self):
        self.rules("vg0/letters", "cert:alice=rw psk:bob=ro")
        self.assertEqual(["letters"], self.shown_to("client"))
        self.assertEqual([], self.shown_to("blank"))
        self.assertEqual("ro", self.works_with_key("bob"))
        self.assertEqual("none", self.works_with_key("eve"))
        with self.volume.raw() as client:
            self.assertEqual([], client.begin().list())
        # A key's name is not a certificate's.
        self.rules("vg0/letters", "cert:bob=rw psk:alice=rw cert:back%20up=ro")
        self.assertEqual([], self.shown_to("client"))
        self.assertEqual(["letters"], self.shown_to("blank"))
        self.assertEqual("none", self.works_with_key("bob"))

    def test_a_user_is_known_behind_tls_too(self):
        self.rules("vg0/letters", f"uid:{os.geteuid()}=ro")
        self.assertEqual(["letters"], self.shown_to("client"))
        self.assertEqual("ro", self.works_with_key("eve"))

    def test_a_certificate_that_nobody_verified_says_nothing(self):
        def verify(word):
            self.volume.wait_for_clients(0)
            self.volume.deactivate()
            settings("vg0/papered", f"nbd.tls_verify_clients={word}")
            self.volume.activate()

        self.addCleanup(verify, "true")
        verify("false")
        self.rules("vg0/letters", "cert:alice=rw")
        self.assertEqual([], self.shown_to("client"))
        self.rules("vg0/letters", "all=ro")
        self.assertEqual(["letters"], self.shown_to())


class Unreadable(AccessTest):
    """Nothing is served where it cannot be known how."""

    def setUp(self):
        super().setUp()
        current = installation.current
        current.pool("careful", "64m")
        self.volume = current.volume("first", SIZE, pool="careful")
        self.file = os.path.join(current.environment["THINVOL_CONFIG_DIR"], "thinvol.toml")
        self.addCleanup(current.command, "tvremove", "-y", "vg0/careful")
        self.addCleanup(self.forget_file)

    def forget_file(self):
        """And the other servers do too, now."""
        if os.path.exists(self.file):
            os.remove(self.file)
        self.installation.command("tvchange", "--unset", "nbd.access", "vg0")

    def write(self, text):
        with open(self.file, "w") as file:
            file.write(text)
        os.chmod(self.file, 0o600)

    def assert_refused(self, pattern):
        with self.assertRaisesRegex(AssertionError, pattern):
            self.volume.activate()
        self.assertEqual("", self.volume.field("clients"))

    def assert_server_refuses(self, pattern):
        """Whoever starts it."""
        pool = self.volume.field("pool_lv_uuid").replace("-", "")
        done = self.installation.run(os.path.join(self.installation.bin_dir, "thinvold"), pool)
        self.assertEqual(5, done.returncode)
        self.assertRegex(done.stderr, pattern)

    def test_a_file_that_is_wrong(self):
        for text, pattern in (
                ("[nbd\n", "thinvol.toml:1: "),
                ('[nbd]\ntls = "requires"\n', "thinvol.toml:2: nbd.tls is requires"),
                ('[nbd]\ntls = "require"\ntls = "off"\n', "thinvol.toml:3: "),
                ('[nbd]\ntsl = "require"\n', "thinvol.toml:2: .*no setting nbd.tsl"),
                ('[nbd]\naccess = "uid:x=rw"\n', "thinvol.toml:2: nbd.access: .*uid:x=rw")):
            with self.subTest(text=text):
                self.write(text)
                self.assert_refused(pattern)
                self.assert_server_refuses(pattern)
        os.chmod(self.file, 0o666)
        self.assert_refused("can be written by others")
        os.remove(self.file)
        os.mkdir(self.file)
        self.assert_refused("thinvol.toml")
        os.rmdir(self.file)
        self.volume.activate()
        self.volume.deactivate()

    def test_a_row_of_the_catalog_that_is_wrong(self):
        catalog = os.path.join(installation.current.environment["THINVOL_STATE_DIR"], "catalog.db")
        self.assertTrue(os.path.exists(catalog))
        for table, key, value in (("careful", "nbd.tls", '"perhaps"'),
                                  ("first", "nbd.access", '"uid=rw"')):
            with sqlite3.connect(catalog) as database:
                database.execute(
                    "INSERT INTO setting(vg_id, lv_id, key, value) "
                    "SELECT vg_id, id, ?, ? FROM lv WHERE name = ?", (key, value, table))
            database.close()
            with self.subTest(key=key):
                self.assert_refused(f"catalog: {key}")
                if table == "careful":
                    self.assert_server_refuses(f"catalog: {key}")
            self.installation.command("tvchange", "--unset", key, f"vg0/{table}")
        self.volume.activate()
        self.volume.deactivate()

    def test_while_the_server_runs_the_rules_stay_as_they_were(self):
        second = installation.current.volume("second", SIZE, pool="careful")
        self.write('[nbd]\naccess = "all=ro"\n')
        self.volume.activate()
        self.write("[nbd\n")
        with self.assertRaisesRegex(AssertionError, "thinvol.toml:1: "):
            settings("vg0/careful", "nbd.iops_maximum=7")
        with self.assertRaisesRegex(AssertionError, "thinvol.toml:1: "):
            second.activate()
        with self.closing(self.volume.raw()) as client:
            self.assertEqual(["first"], client.begin().list())
            self.assertTrue(self.flags(client, "first") & READ_ONLY)
        # One that is right again is noticed.
        self.write('[nbd]\naccess = "all=none"\n')
        deadline = time.monotonic() + nbd.PATIENCE_S
        while self.listed():
            self.assertLess(time.monotonic(), deadline, "the file was not read again")
        self.volume.wait_for_clients(0)
        self.volume.deactivate()

    def listed(self):
        with self.volume.raw() as client:
            return client.begin().list()
