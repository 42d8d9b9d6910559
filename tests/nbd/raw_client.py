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
STRUCTURED_REPLY_MAGIC = 0x668E33EF
EXTENDED_REPLY_MAGIC = 0x6E8A278C

FIXED_NEWSTYLE, NO_ZEROES = 1, 2

EXPORT_NAME, ABORT, LIST, PEEK_EXPORT, STARTTLS, INFO, GO = 1, 2, 3, 4, 5, 6, 7
STRUCTURED_REPLY, LIST_META_CONTEXT, SET_META_CONTEXT, EXTENDED_HEADERS = 8, 9, 10, 11

ACK, SERVER, INFO_REPLY, META_CONTEXT = 1, 2, 3, 4
ERROR_BIT = 1 << 31
UNSUP, POLICY, INVALID, TLS_REQD, UNKNOWN, SHUTDOWN, TOO_BIG, EXT_HEADER_REQD = (
    ERROR_BIT + n for n in (1, 2, 3, 5, 6, 7, 9, 10))

INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE = 0, 1, 2, 3

READ, WRITE, DISC, FLUSH, TRIM, CACHE, WRITE_ZEROES, BLOCK_STATUS, RESIZE = range(9)
FUA, NO_HOLE, DF, REQ_ONE, FAST_ZERO, PAYLOAD_LEN = (1 << n for n in range(6))

EPERM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN = 1, 22, 28, 75, 95, 108

CHUNK_DONE = 1
NONE, OFFSET_DATA, OFFSET_HOLE, STATUS, STATUS_EXT, ERROR = 0, 1, 2, 5, 6, 0x8001

ALLOCATION, SHARING = "base:allocation", "x-thinvol:sharing"
HOLE, ZERO = 1, 2  # of ALLOCATION
NO_BLOCK, SHARED, ORIGIN = 1, 2, 4  # of SHARING

MIB = 1 << 20
PATIENCE_S = 20.0

OptionReply = collections.namedtuple("OptionReply", "type data")
Reply = collections.namedtuple("Reply", "cookie error data")
Chunk = collections.namedtuple("Chunk", "type payload")


class Closed(Exception):
    """The server ended the connection where the client expected more."""


def option_bytes(number, data=b"", length=None, magic=IHAVEOPT):
    return struct.pack(">QII", magic, number, len(data) if length is None else length) + data


def info_data(name, infos=()):
    """What INFO and GO carry; the name as text or, for names that are none, as bytes."""
    raw = name.encode() if isinstance(name, str) else name
    return struct.pack(f">I{len(raw)}sH{len(infos)}H", len(raw), raw, len(infos), *infos)


def context_data(name, *queries):
    """What LIST_META_CONTEXT and SET_META_CONTEXT carry."""
    parts = [struct.pack(">I", len(name)) + name.encode(), struct.pack(">I", len(queries))]
    parts += [struct.pack(">I", len(query)) + query.encode() for query in queries]
    return b"".join(parts)


def extended_request_bytes(command, offset=0, length=0, flags=0, cookie=0, payload=b""):
    return struct.pack(">IHHQQQ", EXTENDED_REQUEST, flags, command, cookie, offset,
                       length) + payload


def request_bytes(command, offset=0, length=0, flags=0, cookie=0, payload=b"", magic=REQUEST):
    return struct.pack(">IHHQQI", magic, flags, command, cookie, offset, length) + payload


def handshake_bytes(name):
    return struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES) + option_bytes(GO, info_data(name))


class RawClient:
    def __init__(self, path=None, timeout_s=PATIENCE_S, connected=None):
        """To that path, or behind a socket that somebody else connected."""
        self.socket = connected or socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        if connected is None:
            self.socket.connect(path)
        self.cookies = itertools.count(0x1122334455660001)
        self.read_lengths = {}  # of reads in flight, by cookie
        self.read_offsets = {}
        self.received = 0
        self.extended = False
        self.context_ids = {}  # of the contexts selected
        self.chunks = []  # of the last reply that had any

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

    def must_option(self, number, data=b""):
        replies = self.option(number, data)
        if replies[-1].type != ACK:
            raise AssertionError(f"option {number}: {replies[-1]}")
        return replies

    def structured(self):
        self.must_option(STRUCTURED_REPLY)
        return self

    def extend(self):
        self.must_option(EXTENDED_HEADERS)
        self.extended = True
        return self

    def select(self, name, *contexts):
        """Selects meta contexts; those that were granted."""
        replies = self.must_option(SET_META_CONTEXT, context_data(name, *contexts))
        self.context_ids = {struct.unpack(">I", reply.data[:4])[0]: reply.data[4:].decode()
                            for reply in replies[:-1]}
        return sorted(self.context_ids.values())

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
            self.read_offsets[cookie] = offset
        if self.extended:
            flags |= PAYLOAD_LEN if command == WRITE else 0
            self.send(extended_request_bytes(command, offset, length, flags, cookie, payload))
        else:
            self.send(request_bytes(command, offset, length, flags, cookie, payload))
        return cookie

    def reply(self):
        magic = struct.unpack(">I", self.receive(4))[0]
        if magic in (STRUCTURED_REPLY_MAGIC, EXTENDED_REPLY_MAGIC):
            return self.reply_in_chunks(magic)
        error, cookie = struct.unpack(">IQ", self.receive(12))
        if magic != SIMPLE_REPLY or self.extended:
            raise AssertionError(f"reply begins with {magic:#x}")
        length = self.read_lengths.pop(cookie, 0)
        return Reply(cookie, error, self.receive(length) if error == 0 else b"")

    def reply_in_chunks(self, magic):
        """All chunks of one reply, which none of ours interleaves; a read's data put together."""
        self.chunks, first, cookie, done, error = [], None, None, False, 0
        data, covered = bytearray(), 0
        while not done:
            if self.chunks and struct.unpack(">I", self.receive(4))[0] != magic:
                raise AssertionError("the kind of reply changed in the middle")
            if (magic == EXTENDED_REPLY_MAGIC) != self.extended:
                raise AssertionError(f"reply begins with {magic:#x}")
            layout = ">HHQQQ" if self.extended else ">HHQI"
            flags, kind, cookie, *rest = struct.unpack(
                layout, self.receive(struct.calcsize(layout)))
            if first is None:
                first = cookie
                data = bytearray(b"?" * self.read_lengths.pop(cookie, 0))
            if cookie != first or flags & ~CHUNK_DONE or rest[-1] > 80 * MIB:
                raise AssertionError(f"chunk of {cookie:#x}, flags {flags:#x}, {rest}")
            payload, done = self.receive(rest[-1]), bool(flags & CHUNK_DONE)
            self.chunks.append(Chunk(kind, payload))
            if kind in (OFFSET_DATA, OFFSET_HOLE):
                at = struct.unpack(">Q", payload[:8])[0] - self.read_offsets.get(cookie, 0)
                piece = payload[8:] if kind == OFFSET_DATA else bytes(
                    struct.unpack(">I", payload[8:])[0])
                if not piece or at < 0 or at + len(piece) > len(data):
                    raise AssertionError(f"{len(piece)} bytes at {at} of {len(data)}")
                data[at:at + len(piece)] = piece
                covered += len(piece)
            elif kind == ERROR:
                error, length = struct.unpack(">IH", payload[:6])
                if error == 0 or length != len(payload) - 6:
                    raise AssertionError(f"error chunk {payload}")
        if error == 0 and covered != len(data):
            raise AssertionError(f"{covered} of {len(data)} bytes")
        self.read_offsets.pop(cookie, None)
        return Reply(cookie, error, bytes(data) if error == 0 else b"")

    def error_text(self):
        """Of the last reply, which had an error."""
        return self.chunks[-1].payload[6:].decode()

    def status(self, offset, length, flags=0):
        """The extents of each context selected, by its name: [(length, flags), ...]."""
        self.must(BLOCK_STATUS, offset, length, flags)
        return self.extents()

    def extents(self):
        """Of the last reply."""
        told = {}
        for chunk in self.chunks:
            if chunk.type == NONE:
                continue
            if self.extended:
                context, count = struct.unpack(">II", chunk.payload[:8])
                extents = list(struct.iter_unpack(">QQ", chunk.payload[8:]))
                if chunk.type != STATUS_EXT or count != len(extents):
                    raise AssertionError(f"chunk {chunk.type} of {count} extents")
            else:
                context = struct.unpack(">I", chunk.payload[:4])[0]
                extents = list(struct.iter_unpack(">II", chunk.payload[4:]))
                if chunk.type != STATUS:
                    raise AssertionError(f"chunk {chunk.type}")
            told[self.context_ids[context]] = extents
        return told

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
