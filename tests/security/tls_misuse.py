#!/usr/bin/python3
"""What a client, or somebody on the wire, can get of an export behind TLS without the right papers.

    tests/security/tls_misuse.py [--budget SECONDS] [--seed N]       with THINVOL_BIN set

Goal    S57: required means required, and nothing is told before; nothing said or smuggled in the
        clear counts behind the handshake; wrong, expired, foreign, revoked papers and keys of
        either side, old versions, weak ciphers, garbage, floods, records changed on the way and
        renegotiation get nothing; a handshake ends in time; others notice none of it.
Method  libnbd and qemu (GnuTLS), a client by hand behind Python's ssl and openssl s_client, against
        pools whose servers are right, expired, of another name and of another authority. When
        every case was had, random bytes are smuggled and thrown until the time is over.
"""

import concurrent.futures
import contextlib
import os
import pathlib
import random
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
import warnings

import nbd as libnbd

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "prove"))
import row_program  # noqa: E402
from row_program import MIB, Home, check  # noqa: E402
import raw_client as nbd  # noqa: E402

SIZE = 4 * MIB
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
NOTHING = (ssl.SSLError, ConnectionError, nbd.Closed)  # what a client is told that gets nothing
HANDSHAKE_S = 2  # nbd.negotiation_timeout of the pools
PATIENCE_S = 10
LAST_YEARS = ('activation_date = "2020-01-01 00:00:00 UTC"\n'
              'expiration_date = "2021-01-01 00:00:00 UTC"\n')
NEXT_YEARS = ('activation_date = "2090-01-01 00:00:00 UTC"\n'
              'expiration_date = "2091-01-01 00:00:00 UTC"\n')
CLIENT = "cn = alice\ntls_www_client\nsigning_key\n"
SERVER = "tls_www_server\nsigning_key\nencryption_key\n"
AT_ONCE = 24  # clients that may have to be waited for
CROWD = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
HANDSHAKE_RECORD, ALERT = 0x16, b"\x15\x03\x03\x00\x02\x01\x5a"  # a warning: user_canceled


class Papers:
    """Folders as libnbd and qemu want them: ca-cert.pem, and a client's or a server's papers."""

    def __init__(self, home):
        self.home = home
        self.made = {}

    def certificate(self, name, template, issuer=None):
        path, key, info = (self.home.file(f"{name}{end}") for end in (".pem", ".key", ".info"))
        with open(info, "w") as file:
            file.write(template)
        with open(key, "w") as file:
            file.write(self.home.tool("certtool", "--generate-privkey", "--key-type=ecdsa",
                                      "--curve=secp256r1"))
        how = ["--generate-self-signed"] if issuer is None else [
            "--generate-certificate", "--load-ca-certificate", self.home.file(f"{issuer}.pem"),
            "--load-ca-privkey", self.home.file(f"{issuer}.key")]
        self.home.tool("certtool", *how, "--load-privkey", key, "--template", info,
                       "--outfile", path)
        return path

    def folder(self, name, who, template, issuer="ca", authority="ca"):
        path = self.home.file(name)
        os.mkdir(path)
        made = self.certificate(f"{name}-made", template, issuer)
        for source, target in ((self.home.file(f"{authority}.pem"), "ca-cert.pem"),
                               (made, f"{who}-cert.pem"),
                               (self.home.file(f"{name}-made.key"), f"{who}-key.pem")):
            os.symlink(source, os.path.join(path, target))
        self.made[name] = path
        return path

    def revoke(self, name, server):
        info = self.home.file("crl.info")
        with open(info, "w") as file:
            file.write("crl_next_update = 3650\ncrl_number = 1\n")
        self.home.tool("certtool", "--generate-crl", "--load-ca-privkey",
                       self.home.file("ca.key"), "--load-ca-certificate",
                       self.home.file("ca.pem"), "--load-certificate",
                       self.home.file(f"{name}-made.pem"), "--template", info, "--outfile",
                       os.path.join(self.made[server], "ca-crl.pem"))

    def all(self):
        for name in ("ca", "stranger-ca"):
            self.certificate(name, "cn = authority\nca\ncert_signing_key\n")
        for name, template, issuer in (
                ("right", CLIENT, "ca"), ("expired", CLIENT + LAST_YEARS, "ca"),
                ("early", CLIENT + NEXT_YEARS, "ca"), ("revoked", CLIENT, "ca"),
                ("stranger", CLIENT, "stranger-ca"), ("self-signed", CLIENT, None),
                ("server's", "cn = alice\n" + SERVER, "ca"), ("issued", CLIENT, "right-made")):
            self.folder(name, "client", template, issuer)
        localhost = "cn = localhost\ndns_name = localhost\n" + SERVER
        self.folder("server", "server", localhost)
        self.folder("expired-server", "server", localhost + LAST_YEARS)
        self.folder("other-server", "server", localhost.replace("localhost", "other"))
        self.folder("stranger-server", "server", localhost, "stranger-ca")
        self.revoke("revoked", "server")
        self.keys = self.home.file("keys.psk")
        self.home.tool("psktool", "-u", "bob", "-p", self.keys)


class Server:
    """A pool of its own, with an export of the same name as the pool; by its socket and port."""

    def __init__(self, home, name, *settings):
        home.pool(f"p-{name}", "16m")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        for setting in (f"nbd.negotiation_timeout={HANDSHAKE_S}", *settings,
                        f'nbd.listen=["127.0.0.1:{self.port}"]'):
            home.command("tvchange", "--setting", setting, f"vg0/p-{name}")
        self.name = name
        self.volume = home.volume(name, SIZE, pool=f"p-{name}").activate()
        self.socket = self.volume.socket

    def begun(self):
        return nbd.RawClient(self.socket, timeout_s=PATIENCE_S).begin()

    def asked(self):
        """A client that may begin the handshake."""
        client = self.begun()
        client.must_option(nbd.STARTTLS)
        return client


class Places:
    def __init__(self, home):
        self.home, self.papers = home, Papers(home)
        self.papers.all()
        made = self.papers.made
        keys = f"nbd.tls_keys={self.papers.keys}"
        certificates = f"nbd.tls_certificates={made['server']}"
        self.required = Server(home, "required", "nbd.tls=require", certificates, keys)
        self.allowed = Server(home, "allowed", "nbd.tls=allow", certificates, keys,
                              "nbd.access=cert:alice=rw")
        self.keyed = Server(home, "keyed", "nbd.tls=require", keys)
        self.clear = Server(home, "clear")
        self.wrong = {name: Server(home, name.split("-")[0], "nbd.tls=require",
                                   f"nbd.tls_certificates={made[name]}")
                      for name in ("expired-server", "other-server", "stranger-server")}

    def context(self, folder="right", oldest=TLS12, newest=TLS13, authority=True):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if authority:
            made.load_verify_locations(self.home.file("ca.pem"))
        else:
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        made.minimum_version, made.maximum_version = oldest, newest
        if folder is not None:
            path = self.papers.made[folder]
            made.load_cert_chain(f"{path}/client-cert.pem", f"{path}/client-key.pem")
        return made

    def secured(self, server, context=None, host="localhost"):
        client = server.asked()
        client.socket = (context or self.context()).wrap_socket(client.socket,
                                                                server_hostname=host)
        return client


# --- two kinds of clients: what they get of a server with those papers --------------------------


def by_hand(places, server, folder, **how):
    """The exports' names; nothing unless it is let in."""
    client = None
    try:
        client = places.secured(server, places.context(folder, **how))
        return client.list()
    except NOTHING:
        return None
    finally:
        if client:
            client.close()


def by_libnbd(server, folder=None, key=None, tcp=False):
    """The export's size; nothing unless it is let in."""
    handle = libnbd.NBD()
    handle.set_tls(libnbd.TLS_REQUIRE)
    handle.set_export_name(server.name)
    if folder:
        handle.set_tls_certificates(folder)
    if key:
        handle.set_tls_username(key[0])
        handle.set_tls_psk_file(key[1])
    try:
        if tcp:
            handle.connect_uri(f"nbds://localhost:{server.port}/{server.name}")
        else:
            handle.connect_unix(server.socket)
        handle.pwrite(b"x" * 512, 0)
        return handle.get_size()
    except libnbd.Error:
        return None


def by_qemu(places, server, credentials):
    done = places.home.run("qemu-img", "info", "--object", credentials, "--image-opts",
                           f"driver=nbd,server.type=unix,server.path={server.socket},"
                           f"export={server.name},tls-creds=t")
    return done.returncode == 0


def qemu_papers(folder):
    return f"tls-creds-x509,id=t,dir={folder},endpoint=client,verify-peer=off"


# --- papers --------------------------------------------------------------------------------------


def papers_of_clients(row, places):
    for folder in (None, "right", "expired", "early", "revoked", "stranger", "self-signed",
                   "server's", "issued"):
        wanted = folder == "right"
        for server in (places.required, places.allowed):
            for version in (TLS12, TLS13):
                got = by_hand(places, server, folder, oldest=version, newest=version)
                check((got == [server.name]) == wanted and (wanted or got is None),
                      f"{folder} papers, {server.name}, {version}: {got}")
                row.count(f"hand {server.name} {folder} {version}")
            if folder is None:
                continue
            # Those whose authority the server would not be known by want no proof of it.
            path = places.papers.made[folder]
            got = by_libnbd(server, path)
            check((got == SIZE) == wanted, f"{folder} papers, libnbd, {server.name}: {got}")
            got = by_qemu(places, server, qemu_papers(path))
            check(got == wanted, f"{folder} papers, qemu, {server.name}: {got}")
            row.count(f"libnbd {server.name} {folder}")
            row.count(f"qemu {server.name} {folder}")


def papers_of_servers(row, places):
    """Clients that look find them out; nothing in our answers makes up for it."""
    path = places.papers.made["right"]
    check(by_libnbd(places.required, path, tcp=True) == SIZE, "right papers over TCP")
    row.count("libnbd right server")
    for name, server in places.wrong.items():
        for version in (TLS12, TLS13):
            check(by_hand(places, server, "right", oldest=version, newest=version) is None,
                  f"a client went in to the server of {name}")
            row.count(f"hand {name} {version}")
        check(by_libnbd(server, path, tcp=True) is None, f"libnbd went in to {name}")
        row.count(f"libnbd {name}")
    with places.secured(places.required, places.context(), "localhost") as client:
        names = [text for kind, text in client.socket.getpeercert()["subjectAltName"]]
        check(names == ["localhost"], f"the server's names are {names}")
    row.count("names of the server")


def keys(row, places):
    home, right = places.home, places.papers.keys
    secret = pathlib.Path(right).read_text().strip().split(":")[1]
    other = secret[::-1] if secret[::-1] != secret else "00" + secret[2:]
    cases = {"right": ("bob", secret, True), "wrong": ("bob", other, False),
             "unknown": ("eve", secret, False), "short": ("bob", secret[:-2], False),
             "zeroes": ("bob", "00" * (len(secret) // 2), False),
             "upper": ("BOB", secret, False), "long": ("b" * 200, secret, False),
             "prefix": ("bo", secret, False), "format": ("%s%n", secret, False)}
    for server in (places.required, places.keyed, places.allowed):
        for name, (user, key, wanted) in cases.items():
            folder = home.file(f"key-{name}")
            os.makedirs(folder, exist_ok=True)
            file = os.path.join(folder, "keys.psk")
            pathlib.Path(file).write_text(f"{user}:{key}\n")
            # Whom `allowed` has a rule for shows a certificate.
            may = wanted and server is not places.allowed
            check((by_libnbd(server, key=(user, file)) == SIZE) == may,
                  f"libnbd, {name} key, {server.name}")
            got = by_qemu(places, server,
                          f"tls-creds-psk,id=t,dir={folder},username={user},endpoint=client")
            check(got == may, f"qemu, {name} key, {server.name}")
            row.count(f"libnbd {name} key {server.name}")
            row.count(f"qemu {name} key {server.name}")
    for version in (TLS12, TLS13):
        for folder in (None, "right"):
            check(by_hand(places, places.keyed, folder, oldest=version, newest=version,
                          authority=False) is None, "a server with keys only took a certificate")
            row.count(f"hand keyed {folder} {version}")


# --- in the clear --------------------------------------------------------------------------------

IN_THE_CLEAR = {
    "list": (nbd.LIST, b""), "list with data": (nbd.LIST, b"x"), "info": (nbd.INFO, None),
    "go": (nbd.GO, None), "info of none": (nbd.INFO, nbd.info_data("")),
    "structured": (nbd.STRUCTURED_REPLY, b""), "extended": (nbd.EXTENDED_HEADERS, b""),
    "contexts": (nbd.LIST_META_CONTEXT, nbd.context_data("required")),
    "select": (nbd.SET_META_CONTEXT, nbd.context_data("required", nbd.ALLOCATION)),
    "unknown": (0x7654321, b"z" * 70000),
}


def required_means_required(row, places):
    for server in (places.required, places.keyed):
        for name, (option, data) in IN_THE_CLEAR.items():
            with server.begun() as client:
                data = nbd.info_data(server.name) if data is None else data
                replies = client.option(option, data)
                check([reply.type for reply in replies] == [nbd.TLS_REQD],
                      f"{name} in the clear: {replies}")
                check(all(server.name.encode() not in reply.data for reply in replies),
                      f"{name} in the clear tells the export's name")
                check(client.outcome(nbd.STARTTLS, b"x") == nbd.INVALID, "STARTTLS with data")
                check(client.outcome(nbd.ABORT) == nbd.ACK, "ABORT in the clear")
            row.count(f"{name} {server.name}")
        for flags in (0, nbd.FIXED_NEWSTYLE):
            with nbd.RawClient(server.socket, timeout_s=PATIENCE_S).begin(flags) as client:
                client.send(nbd.option_bytes(nbd.EXPORT_NAME, server.name.encode()))
                check(client.until_closed() == b"", "EXPORT_NAME in the clear is answered")
            row.count(f"export name {flags} {server.name}")
        with server.begun() as client:
            client.send(nbd.request_bytes(nbd.READ, 0, 512))
            check(client.until_closed() == b"", "a request in the clear is answered")
        row.count(f"request {server.name}")
        handle = libnbd.NBD()
        handle.set_export_name(server.name)
        with contextlib.suppress(libnbd.Error):
            handle.connect_unix(server.socket)
            raise AssertionError(f"libnbd went in to {server.name} without TLS")
        done = places.home.run("qemu-io", "-f", "raw", "-c", "read 0 512",
                               f"nbd+unix:///{server.name}?socket={server.socket}")
        check(done.returncode != 0, f"qemu went in to {server.name} without TLS")
        row.count(f"libnbd clear {server.name}")
        row.count(f"qemu clear {server.name}")


def downgrades(row, places):
    """By who takes the offer of TLS away, old versions, and ciphers that are none."""
    with places.clear.begun() as client:
        check(client.outcome(nbd.STARTTLS) == nbd.POLICY, "TLS where there is none")
    check(by_libnbd(places.clear, places.papers.made["right"]) is None, "libnbd without TLS")
    check(not by_qemu(places, places.clear, qemu_papers(places.papers.made["right"])),
          "qemu without TLS")
    for who in ("hand", "libnbd", "qemu"):
        row.count(f"{who} server without TLS")
    warnings.simplefilter("ignore", DeprecationWarning)  # of those very versions
    for name in ("TLSv1", "TLSv1_1"):
        version = getattr(ssl.TLSVersion, name)
        context = places.context(oldest=version, newest=version)
        context.set_ciphers("ALL:@SECLEVEL=0")
        refused_by_server(places, context, f"version {name}")
        row.count(f"version {name}")
    for ciphers in ("aNULL", "eNULL"):
        context = places.context(newest=TLS12)
        context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
        refused_by_server(places, context, f"cipher {ciphers}")
        row.count(f"cipher {ciphers}")
    with places.allowed.begun() as client:
        check(client.list() == [], "the allowed server shows what has rules for certificates")
        check(client.outcome(nbd.GO, nbd.info_data("allowed")) == nbd.UNKNOWN, "and lets in")
    row.count("rules in the clear")


def refused_by_server(places, context, what):
    """By an alert of the server's, not by OpenSSL before it has sent anything."""
    client = places.required.asked()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    check(hello[:1] == bytes([HANDSHAKE_RECORD]), f"{what}: the client says nothing")
    client.send(hello)
    said = client.until_closed()
    check(said[:1] == b"\x15" and len(said) == 7, f"{what}: the server said {said[:40]}")
    client.close()


# --- what is smuggled, and what is thrown --------------------------------------------------------


def forgotten(row, places):
    """What was said in the clear, where that is allowed."""
    places.home.command("tvchange", "--unset", "nbd.access", "vg0/p-allowed")
    for name, prepare in {
            "structured": lambda c: c.structured(),
            "extended": lambda c: c.must_option(nbd.EXTENDED_HEADERS),
            "contexts": lambda c: c.structured().select("allowed", nbd.ALLOCATION),
            "info": lambda c: c.must_option(nbd.INFO, nbd.info_data("allowed"))}.items():
        for version in (TLS12, TLS13):
            with places.allowed.begun() as client:
                prepare(client)
                client.must_option(nbd.STARTTLS)
                client.socket = places.context(oldest=version, newest=version).wrap_socket(
                    client.socket, server_hostname="localhost")
                check(client.outcome(nbd.SET_META_CONTEXT, nbd.context_data("allowed")) ==
                      nbd.INVALID, f"{name}: what was agreed on in the clear still holds")
                check(client.outcome(nbd.STARTTLS) == nbd.INVALID, "STARTTLS behind TLS")
                client.go("allowed")
                client.write(0, b"x" * 1000)
                check(client.read(0, 1000) == b"x" * 1000 and not client.chunks,
                      f"{name}: replies have another form")
            row.count(f"forgotten {name} {version}")


def smuggled(places, name, injected, apart):
    """Behind STARTTLS, in the same segment or in one of its own: it ends there."""
    for server in (places.required, places.allowed):
        with server.begun() as client:
            client.send(nbd.option_bytes(nbd.STARTTLS) + (b"" if apart else injected))
            try:
                if apart:
                    client.option_replies(nbd.STARTTLS)
                    client.send(injected)
                else:
                    check(client.option_replies(nbd.STARTTLS)[-1].type == nbd.ACK, "no ACK")
                # Were it taken in, it would be answered behind the handshake.
                client.socket = places.context().wrap_socket(client.socket,
                                                             server_hostname="localhost")
                got = client.until_closed()
                raise AssertionError(f"{name}, {server.name}: let in, and told {got[:60]}")
            except NOTHING:
                pass


def injections(row, places):
    go = nbd.option_bytes(nbd.GO, nbd.info_data("allowed"))
    for name, injected in {
            "list": nbd.option_bytes(nbd.LIST), "go": go, "a byte": b"x",
            "structured": nbd.option_bytes(nbd.STRUCTURED_REPLY),
            "starttls": nbd.option_bytes(nbd.STARTTLS),
            "half an option": go[:10], "go and a write": go + nbd.request_bytes(
                nbd.WRITE, 0, 512, payload=b"e" * 512)}.items():
        for apart in (False, True):
            smuggled(places, name, injected, apart)
            row.count(f"smuggled {name} {apart}", 2)


GARBAGE = {
    "zeroes": b"\0" * 100, "options": nbd.option_bytes(nbd.LIST) * 5,
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "nbd": b"NBDMAGICIHAVEOPT\0\3",
    "too long a record": b"\x16\x03\x01\xff\xff" + b"x" * 70000,
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28", "data": b"\x17\x03\x03\x00\x10" + b"d" * 16,
    "finished": b"\x16\x03\x03\x00\x10\x14\0\0\x0c" + b"f" * 12,
    "ssl 2": b"\x80\x2e\x01\0\2\0\x15\0\0\0\x10" + b"\1" * 40,
    "huge hello": b"\x16\x03\x01\x40\0\1\xff\xff\xff" + b"h" * 16380,
}


def thrown(places, server, name):
    with server.asked() as client:
        with contextlib.suppress(nbd.Closed):
            client.send(GARBAGE[name])
            # What could be the beginning of a handshake is waited for as long as one.
            said = client.until_closed()
            check(len(said) < 100 and struct.pack(">Q", nbd.OPTION_REPLY) not in said,
                  f"{name}: {said[:60]}")
            check(server.name.encode() not in said, f"{name}: it tells the export's name")
    return name


def client_hello(places):
    """What a client of OpenSSL's sends first."""
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        places.context().wrap_bio(ssl.MemoryBIO(), sent,
                                  server_hostname="localhost").do_handshake()
    return sent.read()


def floods(row, places):
    """Of records that a handshake passes over: bounded too, and the others are served."""
    hello = client_hello(places)
    for name, before, record in (("alerts", b"", ALERT), ("alerts after hello", hello, ALERT),
                                 ("ccs", hello, b"\x14\x03\x03\0\1\1"),
                                 ("empty", b"", b"\x16\x03\x03\0\0")):
        with places.secured(places.required) as neighbour, places.required.asked() as client:
            neighbour.go("required")
            client.send(before)
            began, slowest = time.monotonic(), 0
            stop = threading.Event()
            pump = threading.Thread(target=pump_records, args=(client, record, stop))
            pump.start()
            try:
                while pump.is_alive() and time.monotonic() < began + 4 * HANDSHAKE_S:
                    asked = time.monotonic()
                    neighbour.read(0, 4096)
                    slowest = max(slowest, time.monotonic() - asked)
            finally:
                ended = not pump.is_alive()
                stop.set()
                client.close()
                pump.join()
            check(ended, f"a flood of {name} is taken for ever")
            check(slowest < HANDSHAKE_S, f"beside a flood of {name} a read takes {slowest} s")
        row.count(f"flood of {name}")


def pump_records(client, record, stop):
    with contextlib.suppress(OSError, nbd.Closed):
        while not stop.is_set():
            client.send(record * 10000)


# --- time ----------------------------------------------------------------------------------------


def slow_handshakes(row, places):
    """All at once, and all are gone soon after the time that they have."""
    hello = client_hello(places)
    began = time.monotonic()
    waiting = {"no hello": places.required.asked(), "half a hello": places.required.asked(),
               "a hello": places.required.asked(), "a byte now and then": places.required.asked(),
               "no option": places.secured(places.required)}
    waiting["half a hello"].send(hello[:len(hello) // 2])
    waiting["a hello"].send(hello)
    left = list(hello)
    with contextlib.suppress(nbd.Closed):
        while time.monotonic() < began + HANDSHAKE_S * 3 and left:
            waiting["a byte now and then"].send(bytes([left.pop(0)]))
            time.sleep(0.05)
    for name, client in waiting.items():
        client.socket.settimeout(1)
        try:
            client.until_closed()
        except TimeoutError as error:
            raise AssertionError(f"{name}: after {time.monotonic() - began} s it is still there, "
                                 f"of {HANDSHAKE_S}") from error
        except ssl.SSLError:
            pass
        client.close()
        row.count(f"slow: {name}")


# --- on the wire ---------------------------------------------------------------------------------


class Sealed:
    """A client whose records can be changed on their way."""

    def __init__(self, places, version):
        self.client = places.required.asked()
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = places.context(oldest=version, newest=version).wrap_bio(
            self.incoming, self.outgoing, server_hostname="localhost")
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.client.send(self.outgoing.read())
                self.incoming.write(self.client.socket.recv(1 << 16))
        self.client.send(self.outgoing.read())

    def seal(self, data):
        self.tls.write(data)
        return self.outgoing.read()

    def answers(self, data):
        """What the server says to those bytes on the wire, until it hangs up; in the clear."""
        said = bytearray()
        with contextlib.suppress(nbd.Closed, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self.client.send(data)
            self.incoming.write(self.client.until_closed())
            self.incoming.write_eof()
            while part := self.tls.read():
                said += part
        self.client.close()
        return bytes(said)


def changed_records(row, places):
    option = nbd.option_bytes(nbd.LIST)
    for version in (TLS12, TLS13):
        sealed = Sealed(places, version)
        once = sealed.seal(option)
        flipped = bytearray(once)
        flipped[len(once) // 2] ^= 1
        second = sealed.seal(nbd.option_bytes(nbd.STRUCTURED_REPLY))
        check(sealed.answers(second + once) == b"", "records out of order")
        for name, wire, replies in (
                ("flipped", lambda s: flip(s.seal(option)), 0),
                ("shorter", lambda s: shorten(s.seal(option)), 0),
                ("twice", lambda s: s.seal(option) * 2, 2),
                ("in the clear", lambda s: option, 0),
                ("clear behind sealed", lambda s: s.seal(option) + option, 2)):
            said = Sealed(places, version)
            got = said.answers(wire(said))
            found = got.count(struct.pack(">Q", nbd.OPTION_REPLY))
            check(found <= replies, f"a record {name}, {version}: {found} replies, {got[:60]}")
            row.count(f"record {name} {version}")
        row.count(f"record out of order {version}")


def flip(record):
    return record[:len(record) // 2] + bytes([record[len(record) // 2] ^ 1]) + \
        record[len(record) // 2 + 1:]


def shorten(record):
    return record[:3] + struct.pack(">H", len(record) - 6) + record[5:-1]


def renegotiation(row, places):
    """openssl s_client asks for one; what passes on the wire is looked at."""
    path = places.home.file("relay")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        folder = places.papers.made["right"]
        command = ["openssl", "s_client", "-unix", path, "-tls1_2", "-CAfile",
                   f"{folder}/ca-cert.pem", "-cert", f"{folder}/client-cert.pem", "-key",
                   f"{folder}/client-key.pem"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as openssl:
            ours = listener.accept()[0]
            server = places.required.asked().socket
            for end in (ours, server):
                end.settimeout(PATIENCE_S)
            to_server, to_client = [], []
            threads = [threading.Thread(target=relay, args=(ours, server, to_server)),
                       threading.Thread(target=relay, args=(server, ours, to_client))]
            for thread in threads:
                thread.start()
            for line in openssl.stdout:
                if b"Verify return code" in line:
                    break
            before = [len(b"".join(seen)) for seen in (to_server, to_client)]
            openssl.stdin.write(b"R\n")
            openssl.stdin.flush()
            threads[1].join()
            openssl.kill()
            openssl.communicate()
            threads[0].join()
    asked, told = (record_types(b"".join(seen)[at:])
                   for seen, at in zip((to_server, to_client), before))
    check(HANDSHAKE_RECORD in asked, f"nothing was asked for: {asked}")
    check(HANDSHAKE_RECORD not in told, "the server negotiates anew")
    row.count("renegotiation")


def relay(source, target, seen):
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            seen.append(data)
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def record_types(wire):
    types, at = [], 0
    while at + 5 <= len(wire):
        types.append(wire[at])
        at += 5 + struct.unpack(">H", wire[at + 3:at + 5])[0]
    return types


def unchanged(places):
    """Through all of it: those with the right papers are served, by the same processes."""
    with places.secured(places.required) as client:
        check(client.list() == ["required"], "the server does not list its export any more")
        client.go("required")
        client.write(4096, b"y" * 512, nbd.FUA)
        check(client.read(4096, 512) == b"y" * 512, "other contents")


def thrown_at_random(row, places):
    """Random bytes, and pieces of what makes sense, behind STARTTLS and instead of a hello."""
    pieces = [nbd.option_bytes(nbd.LIST), nbd.option_bytes(nbd.GO, nbd.info_data("required")),
              b"\x16\x03\x01", b"\x15\x03\x03", b"\x17\x03\x03", ALERT, b"\0" * 40]

    def one(number):
        chance = random.Random(f"{row.seed} {number}")
        wire = b"".join(chance.choice(pieces + [chance.randbytes(30)])
                             for _ in range(chance.randint(1, 4)))
        wire = wire[:chance.randint(1, len(wire))]
        smuggled(places, f"number {number}", wire, bool(chance.getrandbits(1)))

    at = 0
    while not row.over():
        for _ in CROWD.map(one, range(at, at := at + AT_ONCE)):
            row.count("at random", 2)


def misuse(row, bin_dir):
    home = Home(bin_dir, row.seed)
    try:
        home.begin_with(256 * MIB, "pv.img")
        places = Places(home)
        pids = {s.name: s.volume.server().pid for s in (places.required, places.allowed)}
        for cases in (required_means_required, papers_of_clients, papers_of_servers, keys,
                      downgrades, forgotten, injections, changed_records, renegotiation,
                      slow_handshakes, floods):
            cases(row, places)
        for server in (places.required, places.allowed):
            for name in CROWD.map(lambda name: thrown(places, server, name), GARBAGE):
                row.count(f"garbage {name} {server.name}")
        thrown_at_random(row, places)
        for server in (places.required, places.allowed):
            check(server.volume.server().pid == pids[server.name], "a server is another process")
        unchanged(places)
    finally:
        home.close()


row_program.main(misuse, __doc__.splitlines()[0], 30)
