"""RawClient: an NBD client that speaks the wire format by itself, right or wrong as one likes.

It checks only what a client needs to stay in sync; what an answer should be is the tests' business.
Units: bytes; numbers on the wire are big-endian. Source: NetworkBlockDevice/nbd doc/proto.md.
"""

import collections
import fcntl
import itertools
import select
import socket
import struct
import termios
import time

GREETING = 0x4E42444D41474943
IHAVEOPT = 0x49484156454F5054
OPTION_REPLY = 0x0003E889045565A9
REQUEST = 0x25609513
EXTENDED_REQUEST = 0x21E41C71
SIMPLE_REPLY = 0x67446698

FIXED_NEWSTYLE, NO_ZEROES = 1, 2

EXPORT_NAME, ABORT, LIST, PEEK_EXPORT, STARTTLS, INFO, GO = 1, 2, 3, 4, 5, 6, 7
STRUCTURED_REPLY, LIST_META_CONTEXT, SET_META_CONTEXT, EXTENDED_HEADERS = 8, 9, 10, 11

ACK, SERVER, INFO_REPLY = 1, 2, 3
ERROR_BIT = 1 << 31
UNSUP, POLICY, INVALID, UNKNOWN, TOO_BIG = (ERROR_BIT + n for n in (1, 2, 3, 6, 9))

INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE = 0, 1, 2, 3

READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS, RESIZE = range(9)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN = (1 << n for n in range(6))

EPERM, EINVAL, ENOSPC, EOVERFLOW = 1, 22, 28, 75

MIB = 1 << 20
PATIENCE_S = 20.0

OptionReply = collections.namedtuple("OptionReply", "type data")
Reply = collections.namedtuple("Reply", "cookie error data")


class Closed(Exception):
    """The server ended the connection where the client expected more."""


def option_bytes(number, data=b"", length=None, magic=IHAVEOPT):
    return struct.pack(">QII", magic, number, len(data) if length is None else length) + data


def info_data(name, infos=()):
    """What INFO and GO carry; the name as text or, for names that are none, as bytes."""
    raw = name.encode() if isinstance(name, str) else name
    return struct.pack(f">I{len(raw)}sH{len(infos)}H", len(raw), raw, len(infos), *infos)


def request_bytes(command, offset=0, length=0, flags=0, cookie=0, payload=b"", magic=REQUEST):
    return struct.pack(">IHHQQI", magic, flags, command, cookie, offset, length) + payload


def handshake_bytes(name):
    return struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES) + option_bytes(GO, info_data(name))


class RawClient:
    def __init__(self, path, timeout_s=PATIENCE_S):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.socket.connect(path)
        self.cookies = itertools.count(0x1122334455660001)
        self.read_lengths = {}  # of reads in flight, by cookie
        self.received = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # --- bytes

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(f"while sending {len(data)} bytes: {error}") from error

    def receive(self, n):
        data = bytearray(n)
        view, have = memoryview(data), 0
        while have < n:
            try:
                got = self.socket.recv_into(view[have:])
            except ConnectionResetError:
                got = 0
            if got == 0:
                raise Closed(f"after {have} of {n} bytes")
            have += got
        self.received += n
        return bytes(data)

    def until_closed(self, limit=1 << 30):
        """Everything that still comes until the server ends the connection."""
        data = bytearray()
        while len(data) <= limit:
            try:
                got = self.socket.recv(1 << 18)
            except ConnectionResetError:
                got = b""
            if not got:
                return bytes(data)
            data += got
        raise AssertionError(f"over {limit} bytes and still no end")

    def wait_until_answered(self):
        """Until something has come that was not received yet."""
        if not select.select([self.socket], [], [], PATIENCE_S)[0]:
            raise TimeoutError("no answer")

    def wait_until_taken(self):
        """Until the server has received what was sent so far."""
        deadline = time.monotonic() + PATIENCE_S
        waiting = bytearray(4)
        while True:
            fcntl.ioctl(self.socket, termios.TIOCOUTQ, waiting)
            if not any(waiting):
                return
            if time.monotonic() > deadline:
                raise AssertionError("the server does not receive what was sent")
            time.sleep(0)

    # --- handshake

    def greeting(self):
        """The server's handshake flags."""
        magic, options, flags = struct.unpack(">QQH", self.receive(18))
        if (magic, options) != (GREETING, IHAVEOPT):
            raise AssertionError(f"greeting begins with {magic:#x} {options:#x}")
        return flags

    def begin(self, flags=FIXED_NEWSTYLE | NO_ZEROES):
        self.greeting()
        self.send(struct.pack(">I", flags))
        return self

    def option_reply(self, number):
        magic, option, kind, length = struct.unpack(">QIII", self.receive(20))
        if magic != OPTION_REPLY or option != number or length > MIB:
            raise AssertionError(
                f"answer to option {number}: magic {magic:#x}, option {option}, length {length}")
        return OptionReply(kind, self.receive(length))

    def option_replies(self, number):
        """All replies to an option; the last is its ACK or error."""
        replies = [self.option_reply(number)]
        while replies[-1].type != ACK and not replies[-1].type & ERROR_BIT:
            replies.append(self.option_reply(number))
        return replies

    def option(self, number, data=b"", length=None):
        self.send(option_bytes(number, data, length))
        return self.option_replies(number)

    def outcome(self, number, data=b""):
        """The type of an option's last reply."""
        return self.option(number, data)[-1].type

    def list(self):
        replies = self.option(LIST)
        if replies[-1].type != ACK:
            raise AssertionError(f"LIST: {replies[-1]}")
        return [entry.data[4:4 + struct.unpack(">I", entry.data[:4])[0]].decode()
                for entry in replies[:-1]]

    def go(self, name, infos=()):
        replies = self.option(GO, info_data(name, infos))
        if replies[-1].type != ACK:
            raise AssertionError(f"GO {name}: {replies[-1]}")
        return replies

    # --- transmission

    def request(self, command, offset=0, length=None, flags=0, payload=b"", cookie=None):
        """Sends a request; its cookie. A payload gives the length unless one is given."""
        cookie = next(self.cookies) if cookie is None else cookie
        length = len(payload) if length is None else length
        if command == READ:
            self.read_lengths[cookie] = length
        self.send(request_bytes(command, offset, length, flags, cookie, payload))
        return cookie

    def reply(self):
        magic, error, cookie = struct.unpack(">IIQ", self.receive(16))
        if magic != SIMPLE_REPLY:
            raise AssertionError(f"reply begins with {magic:#x}")
        length = self.read_lengths.pop(cookie, 0)
        return Reply(cookie, error, self.receive(length) if error == 0 else b"")

    def call(self, command, offset=0, length=None, flags=0, payload=b""):
        """One request and its reply."""
        cookie = self.request(command, offset, length, flags, payload)
        reply = self.reply()
        if reply.cookie != cookie:
            raise AssertionError(f"reply to {reply.cookie:#x}, not to {cookie:#x}")
        return reply

    def must(self, command, offset=0, length=None, flags=0, payload=b""):
        reply = self.call(command, offset, length, flags, payload)
        if reply.error != 0:
            raise AssertionError(f"command {command} at {offset}: error {reply.error}")
        return reply.data

    def read(self, offset, length):
        return self.must(READ, offset, length)

    def write(self, offset, payload, flags=0):
        self.must(WRITE, offset, flags=flags, payload=payload)

    def flush(self):
        self.must(FLUSH)


def transmitting(path, name):
    """A client past the handshake."""
    client = RawClient(path)
    try:
        client.begin().go(name)
    except BaseException:
        client.close()
        raise
    return client
