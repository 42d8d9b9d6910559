"""TLS: certificates and pre-shared keys, asked for, allowed, and required.

Goal    required means required; what was said in the clear, or smuggled behind STARTTLS, does not
        count behind the handshake; clients without the right papers get nothing; transmission is
        the same as without.
Method  a raw client behind Python's ssl, and other people's clients, against pools of their own
        that allow and require TLS.
"""

import os
import socket
import ssl
import struct
import time

import installation
import raw_client as nbd
from installation import ServerTest

SIZE = 16 << 20
CHUNK = 64 << 10


def certificate(folder, name, template, issuer=None):
    """A key and a certificate of that name, signed by the issuer or by itself."""
    run = installation.current.tool
    key, info = os.path.join(folder, f"{name}-key.pem"), os.path.join(folder, f"{name}.info")
    with open(info, "w") as file:
        file.write(template)
    with open(key, "w") as file:
        file.write(run("certtool", "--generate-privkey", "--key-type=ecdsa", "--curve=secp256r1"))
    how = ["--generate-self-signed"] if issuer is None else [
        "--generate-certificate", "--load-ca-certificate", f"{folder}/{issuer}-cert.pem",
        "--load-ca-privkey", f"{folder}/{issuer}-key.pem"]
    run("certtool", *how, "--load-privkey", key, "--template", info, "--outfile",
        os.path.join(folder, f"{name}-cert.pem"))


def setUpModule():
    global papers, strangers, keys, required, allowed
    papers, strangers = (installation.current.file(name) for name in ("papers", "strangers"))
    for folder in (papers, strangers):
        os.mkdir(folder)
        certificate(folder, "ca", "cn = authority\nca\ncert_signing_key\n")
        certificate(folder, "client", "cn = alice\ntls_www_client\nsigning_key\n", "ca")
    certificate(papers, "server", "cn = localhost\ndns_name = localhost\ntls_www_server\n"
                "signing_key\nencryption_key\n", "ca")
    keys = os.path.join(papers, "keys.psk")
    installation.current.tool("psktool", "-u", "bob", "-p", keys)
    required = secured("required", "require")
    allowed = secured("allowed", "allow")


def secured(name, mode):
    current = installation.current
    current.pool(f"tls-{name}", "64m")
    for setting in (f"nbd.tls={mode}", f"nbd.tls_certificates={papers}", f"nbd.tls_keys={keys}"):
        current.command("tvchange", "--setting", setting, f"vg0/tls-{name}")
    return current.volume(name, SIZE, pool=f"tls-{name}").activate()


def tearDownModule():
    for volume in (required, allowed):
        volume.remove()


def context(folder=None, version=ssl.TLSVersion.TLSv1_3):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(os.path.join(papers, "ca-cert.pem"))
    made.minimum_version = made.maximum_version = version
    if folder is not None:
        made.load_cert_chain(os.path.join(folder, "client-cert.pem"),
                             os.path.join(folder, "client-key.pem"))
    return made


class TlsTest(ServerTest):
    def begun(self, volume):
        return self.closing(volume.raw()).begin()

    def secure(self, client, how=None):
        client.socket = (how or context(papers)).wrap_socket(client.socket,
                                                             server_hostname="localhost")
        return client

    def secured(self, volume, how=None):
        client = self.begun(volume)
        client.must_option(nbd.STARTTLS)
        return self.secure(client, how)

    def assert_works(self, client, name):
        client.go(name)
        payload = self.random.randbytes(100000)
        client.write(12345, payload)
        self.assertEqual(payload, client.read(12345, len(payload)))


class Required(TlsTest):
    def test_nothing_but_starttls_and_abort_is_listened_to_in_the_clear(self):
        client = self.begun(required)
        for option, data in ((nbd.LIST, b""), (nbd.LIST, b"x"), (nbd.INFO, nbd.info_data("x")),
                             (nbd.GO, nbd.info_data("required")), (nbd.STRUCTURED_REPLY, b""),
                             (nbd.EXTENDED_HEADERS, b""), (nbd.SET_META_CONTEXT, b"y" * 100),
                             (nbd.LIST_META_CONTEXT, b""), (0x7654321, b"z" * 70000)):
            with self.subTest(option=option):
                self.assertEqual([nbd.TLS_REQD],
                                 [reply.type for reply in client.option(option, data)])
        self.assertEqual(nbd.INVALID, client.outcome(nbd.STARTTLS, b"x"))
        self.assertEqual(nbd.ACK, client.outcome(nbd.ABORT))
        client = self.begun(required)
        client.send(nbd.option_bytes(nbd.EXPORT_NAME, b"required"))
        self.assert_dropped(client)

    def test_behind_the_handshake_all_works_and_starttls_is_invalid(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version=version):
                client = self.secured(required, context(papers, version))
                self.assertEqual(["required"], client.list())
                self.assertEqual(nbd.INVALID, client.outcome(nbd.STARTTLS))
                self.assert_works(client, "required")

    def test_older_versions_are_refused(self):
        client = self.begun(required)
        client.must_option(nbd.STARTTLS)
        old = context(papers)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            self.secure(client, old)

    def test_clients_without_the_right_papers_get_nothing(self):
        for folder in (None, strangers):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                with self.subTest(folder=folder, version=version):
                    with self.assertRaises((ssl.SSLError, ConnectionError, nbd.Closed)):
                        self.secured(required, context(folder, version)).list()

    def test_other_peoples_clients_with_certificates_and_keys(self):
        tool = self.installation.tool
        self.assertTrue(required.uri.startswith("nbds+unix:///required?socket="))
        uri = f"{required.uri}&tls-certificates={papers}&tls-hostname=localhost"
        with_key = required.uri.replace("///", "//bob@/") + f"&tls-psk-file={keys}"
        for one in (uri, with_key):
            self.assertEqual(str(SIZE), tool("nbdinfo", "--size", one).strip())
            self.assertIn("required", tool("nbdinfo", "--list", one))
        image = self.installation.file("secret.img")
        with open(image, "wb") as file:
            file.write(self.random.randbytes(SIZE))
        tool("nbdcopy", "--flush", image, uri)
        tool("nbdcopy", with_key, image + ".copy")
        tool("cmp", image, image + ".copy")
        tool("qemu-img", "compare", "--object",
             f"tls-creds-psk,id=t,dir={papers},username=bob,endpoint=client", "--image-opts",
             f"driver=nbd,server.type=unix,server.path={required.socket},export=required,"
             "tls-creds=t", f"driver=raw,file.driver=file,file.filename={image}")
        for wrong in (required.uri + f"&tls-certificates={strangers}",
                      required.uri.replace("nbds", "nbd"),
                      with_key.replace("bob@", "eve@")):
            self.assertNotEqual(0, self.installation.run("nbdinfo", "--size", wrong).returncode)


class Allowed(TlsTest):
    def test_with_and_without(self):
        self.assert_works(self.begun(allowed), "allowed")
        self.assert_works(self.secured(allowed), "allowed")

    def test_what_was_said_in_the_clear_is_forgotten(self):
        for prepare in (lambda c: c.structured().select("allowed", nbd.ALLOCATION),
                        lambda c: c.structured(),
                        lambda c: c.must_option(nbd.EXTENDED_HEADERS)):
            client = self.begun(allowed)
            prepare(client)
            client.must_option(nbd.STARTTLS)
            self.secure(client)
            self.assertEqual(nbd.INVALID, client.outcome(nbd.SET_META_CONTEXT,
                                                         nbd.context_data("allowed")))
            self.assert_works(client, "allowed")
            self.assertEqual([], client.chunks)

    def test_what_is_smuggled_behind_starttls_is_not_carried_in(self):
        for smuggled in (nbd.option_bytes(nbd.STRUCTURED_REPLY), b"x",
                         nbd.option_bytes(nbd.GO, nbd.info_data("allowed"))):
            with self.subTest(smuggled=smuggled[:16]):
                client = self.begun(allowed)
                client.send(nbd.option_bytes(nbd.STARTTLS) + smuggled)
                with self.assertRaises((ssl.SSLError, ConnectionError, nbd.Closed)):
                    self.assertEqual(nbd.ACK, client.option_replies(nbd.STARTTLS)[-1].type)
                    self.secure(client).list()

    def test_garbage_instead_of_a_handshake_drops_the_client(self):
        for garbage in (b"\0" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 70000,
                        nbd.option_bytes(nbd.LIST) * 5):
            client = self.begun(allowed)
            client.must_option(nbd.STARTTLS)
            client.send(garbage)
            rest = client.until_closed()
            self.assertLess(len(rest), 100)
            self.assertNotIn(struct.pack(">Q", nbd.OPTION_REPLY), rest)

    def test_a_client_that_vanishes_in_the_handshake_disturbs_nobody(self):
        neighbour = self.secured(allowed)
        neighbour.go("allowed")
        for sent in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
            client = self.begun(allowed)
            client.must_option(nbd.STARTTLS)
            client.send(sent)
            client.close()
            neighbour.write(0, b"undisturbed")
        allowed.wait_for_clients(1)

    def test_much_in_flight_in_all_forms(self):
        for extend in (False, True):
            client = self.secured(allowed)
            client = client.extend() if extend else client.structured()
            client.select("allowed", nbd.ALLOCATION)
            client.go("allowed")
            contents = self.random.randbytes(4 << 20)
            client.write(0, contents)
            client.must(nbd.TRIM, 5 * CHUNK, 7 * CHUNK)
            contents = contents[:5 * CHUNK] + bytes(7 * CHUNK) + contents[12 * CHUNK:]
            self.assertTrue(contents == client.read(0, 4 << 20))
            wanted = {}
            for _ in range(200):
                offset = self.random.randrange(3 << 20)
                length = self.random.randint(1, 200000)
                wanted[client.request(nbd.READ, offset, length)] = (offset, length)
            while wanted:
                reply = client.reply()
                offset, length = wanted.pop(reply.cookie)
                self.assertTrue(contents[offset:offset + length] == reply.data)
            client.send((nbd.extended_request_bytes if extend else nbd.request_bytes)(nbd.DISC))
            self.assert_dropped(client)


class Settings(ServerTest):
    """What the pool's server is told about where its clients come from."""

    def setUp(self):
        super().setUp()
        installation.current.pool("told", "64m")
        self.volume = installation.current.volume("listened", SIZE, pool="told")
        self.addCleanup(installation.current.command, "tvremove", "-y", "vg0/told")

    def set(self, *settings):
        for setting in settings:
            installation.current.command("tvchange", "--setting", setting, "vg0/told")

    def assert_refused(self, pattern):
        with self.assertRaisesRegex(AssertionError, pattern):
            self.volume.activate()

    def free_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def test_tls_that_cannot_be_had_is_no_reason_to_do_without(self):
        self.set("nbd.tls=require")
        self.assert_refused("nbd.tls_certificates")
        self.set("nbd.tls_certificates=/nonexistent")
        self.assert_refused("/nonexistent/ca-cert.pem: No such file")
        self.set(f"nbd.tls_certificates={strangers}")
        self.assert_refused("server-cert.pem: No such file")

    def test_an_address_others_reach_needs_tls_or_a_word(self):
        port = self.free_port()
        for address in (f"0.0.0.0:{port}", f"[::]:{port}"):
            self.set(f'nbd.listen=["{address}"]', "nbd.tls=off")
            self.assert_refused("can be reached from other machines")
        self.set("nbd.tls=allow", f"nbd.tls_keys={keys}")
        self.assert_refused("can be reached from other machines")
        for address in ("localhost:1", "10.0.0.1", "", ":1", "127.0.0.1:x", "127.0.0.1:70000"):
            self.set(f'nbd.listen=["{address}"]')
            self.assert_refused("is not ADDRESS:PORT")
        self.set(f'nbd.listen=["0.0.0.0:{port}"]', "nbd.tls=off", "nbd.listen_without_tls=true")
        self.volume.activate()
        self.volume.deactivate()

    def test_a_loopback_address_serves_as_the_socket_does(self):
        port = self.free_port()
        self.set(f'nbd.listen=["127.0.0.1:{port}"]')
        self.volume.activate()
        uri = f"nbd://127.0.0.1:{port}/listened"
        self.assertEqual(str(SIZE), self.installation.tool("nbdinfo", "--size", uri).strip())
        self.installation.tool("qemu-io", "-f", "raw", "-c", "write -P 5 0 1M", uri)
        with self.volume.connect() as client:
            self.assertEqual(b"\5" * 512, client.read(0, 512))
        self.volume.wait_for_clients(0)
        self.volume.deactivate()

    def test_tls_over_tcp(self):
        port = self.free_port()
        self.set(f'nbd.listen=["0.0.0.0:{port}"]', "nbd.tls=require", f"nbd.tls_keys={keys}")
        self.volume.activate()
        uri = f"nbds://bob@127.0.0.1:{port}/listened?tls-psk-file={keys}"
        self.assertEqual(str(SIZE), self.installation.tool("nbdinfo", "--size", uri).strip())
        clear = self.installation.run("nbdinfo", "--size", f"nbd://127.0.0.1:{port}/listened")
        self.assertNotEqual(0, clear.returncode)
        self.volume.wait_for_clients(0)
        self.volume.deactivate()

    def test_the_socket_is_its_owners_unless_it_is_opened_to_others(self):
        self.volume.activate()
        self.assertEqual(0o600, os.stat(self.volume.socket).st_mode & 0o777)
        self.volume.deactivate()
        self.set("nbd.socket_mode=0660", "nbd.socket_group=no-such-group")
        self.assert_refused("no group no-such-group")
        group = self.installation.tool("id", "-gn").strip()
        self.set(f"nbd.socket_group={group}")
        self.volume.activate()
        self.assertEqual(0o660, os.stat(self.volume.socket).st_mode & 0o777)
        self.assertEqual(os.getgid(), os.stat(self.volume.socket).st_gid)
        self.assertEqual(0o711, os.stat(self.installation.run_dir).st_mode & 0o777)
        with self.volume.connect() as client:
            self.assertEqual(bytes(512), client.read(0, 512))
        self.volume.wait_for_clients(0)
        self.volume.deactivate()

    def test_the_limits_are_settings(self):
        self.set("nbd.options=8", "nbd.payload_maximum=1", "nbd.negotiation_timeout=1",
                 "nbd.connections=2")
        self.volume.activate()
        client = self.closing(self.volume.raw()).begin()
        for _ in range(8):
            self.assertEqual(nbd.ACK, client.outcome(nbd.LIST))
        with self.assertRaises(nbd.Closed):
            client.option(nbd.LIST)
        client = self.connect(self.volume)
        self.assertEqual(nbd.MIB, len(client.read(0, nbd.MIB)))
        self.assertEqual(nbd.EINVAL, client.call(nbd.READ, 0, nbd.MIB + 1).error)
        self.assertEqual(nbd.EINVAL, client.call(nbd.WRITE, payload=bytes(nbd.MIB + 1)).error)
        silent = self.closing(self.volume.raw())
        silent.greeting()
        self.assert_dropped(self.closing(self.volume.raw()))
        began = time.monotonic()
        self.assert_dropped(silent)
        self.assertLess(time.monotonic() - began, 12)
        client.close()
        self.volume.wait_for_clients(0)
        self.volume.deactivate()
