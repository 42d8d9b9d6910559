"""Requests and replies: what each right request does, and how each wrong one is refused.

Goal    contents are those of a disk, byte by byte; errors are the protocol's and keep the
        connection in step; several requests and connections at once do not mix.
Method  a raw client, an in-memory model under random operations, and the pool's own counters.
"""

import contextlib
import re
import threading

import raw_client as nbd
from installation import ServerTest

SIZE = 16 << 20
CHUNK = 64 << 10  # the pool's unit of allocation
PAYLOAD_MAX = 32 << 20
KNOWN = bytes(range(256)) * 2
KNOWN_AT = 4096


class BadRequests(ServerTest):
    @classmethod
    def setUpClass(cls):
        cls.volume = cls.new_volume("bad", SIZE)

    def setUp(self):
        super().setUp()
        self.client = self.connect(self.volume)
        self.client.write(KNOWN_AT, KNOWN)

    def assert_in_sync(self):
        """The next reply is the next request's, and contents are what they were."""
        self.assertEqual(KNOWN, self.client.read(KNOWN_AT, len(KNOWN)))

    def assert_refused(self, errors, command, offset=0, length=None, flags=0, payload=b""):
        reply = self.client.call(command, offset, length, flags, payload)
        self.assertIn(reply.error, errors)
        self.assert_in_sync()

    def test_past_the_end_reads_and_trims_are_invalid_and_writes_find_no_space(self):
        for offset, length in ((SIZE, 1), (SIZE - 1, 2), (SIZE + 1, 1), (SIZE - 4096, 8192),
                               (1 << 40, 512), (0, SIZE + 1), ((1 << 64) - 1, 2),
                               ((1 << 64) - 4096, 8192), (1 << 63, 1)):
            with self.subTest(offset=offset, length=length):
                self.assert_refused([nbd.EINVAL], nbd.READ, offset, length)
                self.assert_refused([nbd.EINVAL], nbd.TRIM, offset, length)
                self.assert_refused([nbd.EINVAL], nbd.CACHE, offset, length)
                self.assert_refused([nbd.ENOSPC], nbd.WRITE_ZEROES, offset, length)
                self.assert_refused([nbd.ENOSPC], nbd.WRITE, offset, payload=b"z" * length)

    def test_the_last_byte_is_inside(self):
        self.client.write(SIZE - 1, b"e")
        self.assertEqual(b"e", self.client.read(SIZE - 1, 1))
        self.client.must(nbd.WRITE_ZEROES, SIZE - 1, 1)
        self.assertEqual(b"\0", self.client.read(SIZE - 1, 1))

    def test_lengths_of_zero_do_not_disconnect(self):
        for command in (nbd.READ, nbd.WRITE, nbd.TRIM, nbd.WRITE_ZEROES):
            for offset in (0, KNOWN_AT, KNOWN_AT + 1, SIZE):
                for flags in (0, nbd.FUA):
                    with self.subTest(command=command, offset=offset, flags=flags):
                        self.assert_refused([0, nbd.EINVAL, nbd.ENOSPC], command, offset, 0, flags)

    def test_a_length_of_zero_past_the_end_does_not_disconnect(self):
        for command in (nbd.READ, nbd.WRITE, nbd.TRIM, nbd.WRITE_ZEROES):
            with self.subTest(command=command):
                self.assert_refused([0, nbd.EINVAL, nbd.ENOSPC], command, SIZE + 1, 0)

    def test_commands_that_are_unknown_are_invalid(self):
        for command in (nbd.BLOCK_STATUS, nbd.RESIZE, 9, 99, 0x0100, 0xFFFF):
            for offset, length in ((0, 0), (0, 4096), (SIZE * 2, 0)):
                with self.subTest(command=command, offset=offset, length=length):
                    self.assert_refused([nbd.EINVAL], command, offset, length)

    def test_flags_that_are_unknown_or_not_for_the_command_are_invalid(self):
        others = [1 << n for n in range(2, 16)]
        for command, flags in ((nbd.READ, [nbd.NO_HOLE] + others),
                               (nbd.FLUSH, [nbd.NO_HOLE] + others),
                               (nbd.TRIM, [nbd.NO_HOLE] + others),
                               (nbd.CACHE, [nbd.NO_HOLE] + others),
                               (nbd.WRITE_ZEROES, [f for f in others if f != nbd.FAST_ZERO])):
            length = 0 if command == nbd.FLUSH else len(KNOWN)
            for flag in flags + [nbd.FUA | nbd.DF]:
                with self.subTest(command=command, flag=flag):
                    offset = 0 if command == nbd.FLUSH else KNOWN_AT
                    self.assert_refused([nbd.EINVAL], command, offset, length, flag)
        for flag in [nbd.NO_HOLE] + others:
            with self.subTest(command="write", flag=flag):
                self.assert_refused([nbd.EINVAL], nbd.WRITE, KNOWN_AT, flags=flag,
                                    payload=b"w" * 512)

    def test_fua_is_accepted_on_every_command_that_is_offered(self):
        self.assertEqual(KNOWN, self.client.must(nbd.READ, KNOWN_AT, len(KNOWN), nbd.FUA))
        self.client.must(nbd.FLUSH, flags=nbd.FUA)
        self.client.write(KNOWN_AT, KNOWN, nbd.FUA)
        self.client.must(nbd.TRIM, 2 * CHUNK, CHUNK, nbd.FUA)
        self.client.must(nbd.WRITE_ZEROES, 2 * CHUNK, CHUNK, nbd.FUA)
        self.client.must(nbd.WRITE_ZEROES, 2 * CHUNK, CHUNK, nbd.FUA | nbd.NO_HOLE)
        self.client.must(nbd.CACHE, 0, SIZE, nbd.FUA)
        self.assert_in_sync()

    def test_a_prefetch_is_taken_and_changes_nothing(self):
        before = self.client.read(0, SIZE)
        for offset, length in ((0, SIZE), (KNOWN_AT, 1), (0, 0), (SIZE, 0), (SIZE - 1, 1)):
            with self.subTest(offset=offset, length=length):
                self.client.must(nbd.CACHE, offset, length)
        self.assertTrue(before == self.client.read(0, SIZE))

    def test_a_flush_with_offset_or_length_is_answered_and_carries_no_payload(self):
        for offset, length in ((512, 0), (0, 512), (SIZE * 2, 0xFFFFFFFF)):
            with self.subTest(offset=offset, length=length):
                self.assert_refused([0, nbd.EINVAL], nbd.FLUSH, offset, length)

    def test_a_wrong_request_magic_drops_the_client(self):
        for magic in (0, 0x25609514, 0x12560953, nbd.SIMPLE_REPLY, nbd.EXTENDED_REQUEST,
                      0xFFFFFFFF):
            with self.subTest(magic=magic):
                client = self.connect(self.volume)
                client.send(nbd.request_bytes(nbd.READ, 0, 512, magic=magic))
                self.assert_dropped(client)
        self.assert_in_sync()

    def test_the_payload_of_a_refused_write_is_not_taken_for_requests(self):
        harmful = nbd.request_bytes(nbd.WRITE_ZEROES, KNOWN_AT, len(KNOWN), cookie=7)
        for offset, flags, copies in ((SIZE, 0, 1), (SIZE, 0, 100000), (0, nbd.DF, 1),
                                      (0, nbd.DF, 12345)):
            with self.subTest(offset=offset, flags=flags, copies=copies):
                self.assert_refused([nbd.ENOSPC, nbd.EINVAL], nbd.WRITE, offset, flags=flags,
                                    payload=harmful * copies)


class LargeRequests(ServerTest):
    @classmethod
    def setUpClass(cls):
        cls.volume = cls.new_volume("large", 80 << 20)

    def test_the_advertised_maximum_is_written_and_read_in_one_request(self):
        client = self.connect(self.volume)
        payload = self.random.randbytes(PAYLOAD_MAX)
        client.write(12345, payload)
        self.assertTrue(payload == client.read(12345, PAYLOAD_MAX))

    def test_a_longer_read_is_refused(self):
        client = self.connect(self.volume)
        for length in (PAYLOAD_MAX + 1, 33 << 20, 64 << 20):
            with self.subTest(length=length):
                self.assertIn(client.call(nbd.READ, 0, length).error, (nbd.EINVAL, nbd.EOVERFLOW))
                self.assertEqual(512, len(client.read(0, 512)))

    def test_a_longer_write_is_read_away_and_changes_nothing(self):
        client = self.connect(self.volume)
        client.write(0, KNOWN)
        for length in (PAYLOAD_MAX + 1, 33 << 20):
            with self.subTest(length=length):
                reply = client.call(nbd.WRITE, 0, payload=b"x" * length)
                self.assertIn(reply.error, (nbd.EINVAL, nbd.EOVERFLOW))
                self.assertEqual(KNOWN, client.read(0, len(KNOWN)))

    def test_a_write_far_beyond_the_maximum_drops_the_client(self):
        for length in (256 << 20, 0xFFFFFFFF):
            with self.subTest(length=length):
                client = self.connect(self.volume)
                client.send(nbd.request_bytes(nbd.WRITE, 0, length))
                self.assert_dropped(client)

    def test_zeroes_and_trims_may_be_longer_than_a_payload(self):
        client = self.connect(self.volume)
        for command, flags in ((nbd.WRITE_ZEROES, 0), (nbd.WRITE_ZEROES, nbd.NO_HOLE),
                               (nbd.TRIM, 0)):
            with self.subTest(command=command, flags=flags):
                client.write(0, KNOWN)
                client.write(self.volume.size - len(KNOWN), KNOWN)
                client.must(command, 0, self.volume.size, flags)
                if command == nbd.WRITE_ZEROES:
                    self.assertEqual(bytes(512), client.read(0, 512))
                    self.assertEqual(bytes(512), client.read(self.volume.size - 512, 512))


class ReadOnlyExport(ServerTest):
    def test_changes_are_not_permitted_and_their_payload_is_read_away(self):
        client = self.connect(self.new_volume("fixed", SIZE, read_only=True))
        harmful = nbd.request_bytes(nbd.DISC)
        for flags in (0, nbd.FUA):
            with self.subTest(flags=flags):
                for payload in (harmful, harmful * 10000):
                    reply = client.call(nbd.WRITE, 0, flags=flags, payload=payload)
                    self.assertEqual(nbd.EPERM, reply.error)
                self.assertEqual(nbd.EPERM, client.call(nbd.TRIM, 0, CHUNK, flags).error)
                self.assertEqual(nbd.EPERM, client.call(nbd.WRITE_ZEROES, 0, CHUNK, flags).error)
        self.assertEqual(bytes(CHUNK), client.read(0, CHUNK))
        client.flush()


class Contents(ServerTest):
    @classmethod
    def setUpClass(cls):
        cls.volume = cls.new_volume("contents", 8 << 20)

    def random_range(self):
        """Any alignment; often small, often at the edge of a chunk."""
        length = self.random.choice((1, 7, 511, 512, 513, 4096, 5000, CHUNK - 1, CHUNK,
                                     3 * CHUNK + 5))
        if self.random.random() < 0.5:
            length = self.random.randint(1, length)
        offset = self.random.randrange(self.volume.size)
        if self.random.random() < 0.5:
            offset = offset // CHUNK * CHUNK + self.random.choice((-513, -1, 0, 0, 1, 512))
        offset = min(max(offset, 0), self.volume.size - length)
        return offset, length

    def test_random_operations_at_any_byte_are_those_of_a_disk(self):
        clients = [self.connect(self.volume) for _ in range(3)]
        clients[0].must(nbd.WRITE_ZEROES, 0, self.volume.size)
        model = bytearray(self.volume.size)
        for step in range(2500):
            client = self.random.choice(clients)
            offset, length = self.random_range()
            end = offset + length
            flags = nbd.FUA if self.random.random() < 0.02 else 0
            kind = self.random.choice("rrrwwwwztf")
            with self.subTest(step=step, kind=kind, offset=offset, length=length, flags=flags):
                if kind == "r":
                    self.assertTrue(model[offset:end] == client.read(offset, length))
                elif kind == "w":
                    model[offset:end] = self.random.randbytes(length)
                    client.write(offset, bytes(model[offset:end]), flags)
                elif kind == "z":
                    flags |= self.random.choice((0, nbd.NO_HOLE))
                    client.must(nbd.WRITE_ZEROES, offset, length, flags)
                    model[offset:end] = bytes(length)
                elif kind == "t":
                    client.must(nbd.TRIM, offset, length, flags)
                    self.adopt_trimmed(client, model, offset, end)
                elif step % 10 == 0:
                    client.flush()
        self.assertTrue(model == clients[0].read(0, self.volume.size))

    def adopt_trimmed(self, client, model, offset, end):
        """After a trim each byte is what it was, or zero."""
        found = client.read(offset, end - offset)
        was = model[offset:end]
        if found != was and any(found):
            self.assertTrue(all(now in (0, before) for now, before in zip(found, was)))
        model[offset:end] = found

    def test_contents_survive_deactivation(self):
        with self.volume.connect() as client:
            payload = self.random.randbytes(300001)
            client.write(54321, payload)
            client.send(nbd.request_bytes(nbd.DISC))
            self.assert_dropped(client)
        self.volume.wait_for_clients(0)
        self.volume.deactivate()
        self.volume.activate()
        self.assertTrue(payload == self.connect(self.volume).read(54321, len(payload)))


class Mapping(ServerTest):
    """What requests do to the blocks behind a volume, by the volume's own count."""

    CHUNKS = 64

    def setUp(self):
        super().setUp()
        self.client = self.connect(self.volume)
        self.client.must(nbd.TRIM, 0, self.volume.size)
        self.assert_mapped(0)
        self.pattern = self.random.randbytes(4 * CHUNK)
        self.client.write(0, self.pattern)
        self.assert_mapped(4)

    @classmethod
    def setUpClass(cls):
        cls.volume = cls.new_volume("mapping", cls.CHUNKS * CHUNK)

    def assert_mapped(self, chunks):
        self.client.flush()
        # The percentage has two digits: good for more chunks than this volume has.
        self.assertEqual(chunks, round(self.volume.mapped_bytes() / CHUNK))

    def assert_contents(self, expected):
        self.assertTrue(expected == self.client.read(0, len(expected)))

    def test_zeroes_over_whole_chunks_unmap_them(self):
        self.client.must(nbd.WRITE_ZEROES, CHUNK, 2 * CHUNK)
        self.assert_contents(self.pattern[:CHUNK] + bytes(2 * CHUNK) + self.pattern[3 * CHUNK:])
        self.assert_mapped(2)

    def test_zeroes_without_holes_keep_chunks_and_provide_those_that_lack(self):
        self.client.must(nbd.WRITE_ZEROES, CHUNK, 5 * CHUNK, nbd.NO_HOLE)
        self.assert_contents(self.pattern[:CHUNK] + bytes(5 * CHUNK))
        self.assert_mapped(6)

    def test_zeroes_over_parts_of_chunks_leave_the_rest(self):
        begin, end = CHUNK // 2 + 3, 3 * CHUNK + 77
        self.client.must(nbd.WRITE_ZEROES, begin, end - begin)
        self.assert_contents(self.pattern[:begin] + bytes(end - begin) + self.pattern[end:])

    def test_zeroes_over_what_is_not_mapped_map_nothing(self):
        self.client.must(nbd.WRITE_ZEROES, 8 * CHUNK + 100, 3 * CHUNK)
        self.assert_mapped(4)

    def test_fast_zeroes_are_refused_where_something_would_be_written(self):
        fast = nbd.FAST_ZERO
        for offset, length, flags in (
                (0, 1, fast), (CHUNK - 1, 2, fast), (CHUNK, CHUNK + 1, fast),
                (CHUNK - 1, CHUNK + 1, fast), (CHUNK, CHUNK, fast | nbd.NO_HOLE),
                (8 * CHUNK, CHUNK, fast | nbd.NO_HOLE), (3 * CHUNK + 5, 40 * CHUNK, fast)):
            with self.subTest(offset=offset, length=length, flags=flags):
                reply = self.client.call(nbd.WRITE_ZEROES, offset, length, flags)
                self.assertEqual(nbd.ENOTSUP, reply.error)
        self.assert_contents(self.pattern)
        self.assert_mapped(4)

    def test_fast_zeroes_succeed_where_chunks_are_unmapped_or_are_so_already(self):
        for offset, length in ((CHUNK, 2 * CHUNK), (CHUNK, 1), (CHUNK + 5, CHUNK),
                               (8 * CHUNK + 3, 5), (7 * CHUNK + 1, 9 * CHUNK), (4 * CHUNK, 0)):
            with self.subTest(offset=offset, length=length):
                self.client.must(nbd.WRITE_ZEROES, offset, length, nbd.FAST_ZERO)
        self.assert_contents(self.pattern[:CHUNK] + bytes(2 * CHUNK) + self.pattern[3 * CHUNK:])
        self.assert_mapped(2)

    def test_a_trim_of_whole_chunks_unmaps_them_and_no_others(self):
        self.client.must(nbd.TRIM, CHUNK, 2 * CHUNK)
        self.assert_mapped(2)
        self.assertTrue(self.pattern[:CHUNK] == self.client.read(0, CHUNK))
        self.assertTrue(self.pattern[3 * CHUNK:] == self.client.read(3 * CHUNK, CHUNK))

    def test_a_trim_of_parts_of_chunks_leaves_the_rest(self):
        begin, end = CHUNK // 2 + 3, 3 * CHUNK + 77
        self.client.must(nbd.TRIM, begin, end - begin)
        self.assertTrue(self.pattern[:begin] == self.client.read(0, begin))
        self.assertTrue(self.pattern[end:] == self.client.read(end, 4 * CHUNK - end))

    def test_a_read_of_what_was_never_written_is_zero_and_maps_nothing(self):
        self.assertEqual(bytes(8 * CHUNK), self.client.read(20 * CHUNK + 1, 8 * CHUNK))
        self.assert_mapped(4)

    def test_one_byte_maps_one_chunk_whose_rest_is_zero(self):
        self.client.write(30 * CHUNK + 1000, b"!")
        self.assert_mapped(5)
        self.assertEqual(bytes(1000) + b"!" + bytes(CHUNK - 1001),
                         self.client.read(30 * CHUNK, CHUNK))

    def test_flush_and_fua_reach_the_physical_volume(self):
        client = self.client
        for name, change in (
                ("flush", client.flush),
                ("FUA write", lambda: client.write(9, b"durable", nbd.FUA)),
                ("FUA zero", lambda: client.must(nbd.WRITE_ZEROES, 0, CHUNK, nbd.FUA)),
                ("FUA trim", lambda: client.must(nbd.TRIM, CHUNK, CHUNK, nbd.FUA))):
            with self.subTest(name):
                self.client.write(40 * CHUNK, self.random.randbytes(1000))
                before = int(self.volume.field("server_flushes"))
                change()
                self.assertGreater(int(self.volume.field("server_flushes")), before)


class ManyInFlight(ServerTest):
    @classmethod
    def setUpClass(cls):
        cls.volume = cls.new_volume("flight", SIZE)

    def test_replies_in_any_order_are_matched_by_their_cookies(self):
        client = self.connect(self.volume)
        contents = self.random.randbytes(SIZE)
        client.write(0, contents)
        ranges = {}
        while len(ranges) < 3000:
            length = self.random.choice((0, 1, 512, 4096, 70000))
            ranges[self.random.getrandbits(64)] = (self.random.randrange(SIZE - length), length)

        def send():
            for cookie, (offset, length) in ranges.items():
                client.request(nbd.READ, offset, length, cookie=cookie)

        sender = threading.Thread(target=send)
        sender.start()
        answered = set()
        for _ in ranges:
            reply = client.reply()
            offset, length = ranges[reply.cookie]
            self.assertEqual(0, reply.error)
            self.assertTrue(contents[offset:offset + length] == reply.data)
            answered.add(reply.cookie)
        sender.join()
        self.assertEqual(set(ranges), answered)

    def test_requests_of_all_kinds_in_flight_are_each_answered_once(self):
        client = self.connect(self.volume)
        expected = {}
        for n in range(2000):
            at = n % 200 * CHUNK
            command, offset, length, flags, payload, error = self.random.choice((
                (nbd.READ, at, 8192, 0, b"", 0),
                (nbd.READ, SIZE, 1, 0, b"", nbd.EINVAL),
                (nbd.WRITE, at + 5, None, 0, b"w" * 3000, 0),
                (nbd.WRITE, at, None, nbd.FUA, b"w" * 4096, 0),
                (nbd.WRITE, SIZE, None, 0, b"w" * 3000, nbd.ENOSPC),
                (nbd.WRITE_ZEROES, at + 512, 4096, 0, b"", 0),
                (nbd.TRIM, at, CHUNK, 0, b"", 0),
                (nbd.FLUSH, 0, 0, 0, b"", 0),
                (99, 0, 0, 0, b"", nbd.EINVAL)))
            expected[client.request(command, offset, length, flags, payload)] = error
            if len(expected) % 100 == 0:
                self.take(client, expected, 60)
        self.take(client, expected, len(expected))
        self.assertEqual({}, expected)

    def take(self, client, expected, n):
        for _ in range(n):
            reply = client.reply()
            self.assertEqual(expected.pop(reply.cookie), reply.error)

    def test_a_cookie_is_opaque_even_when_several_requests_share_it(self):
        client = self.connect(self.volume)
        for cookie in (0, (1 << 64) - 1, 0x2560951325609513):
            for _ in range(20):
                client.request(nbd.TRIM, 0, CHUNK, cookie=cookie)
            self.assertEqual([(cookie, 0)] * 20, [client.reply()[:2] for _ in range(20)])

    def test_disconnecting_ends_what_is_in_flight_first(self):
        for end in ("DISC", "end of file"):
            with self.subTest(end=end):
                client = self.connect(self.volume)
                payload = self.random.randbytes(50001)
                cookies = {client.request(nbd.WRITE, n * 50001, payload=payload)
                           for n in range(100)}
                if end == "DISC":
                    client.send(nbd.request_bytes(nbd.DISC))
                else:
                    client.socket.shutdown(1)
                replies = {client.reply()[:2] for _ in range(100)}
                self.assertEqual({(cookie, 0) for cookie in cookies}, replies)
                self.assert_dropped(client)
                self.assertTrue(payload * 100 == self.connect(self.volume).read(0, 100 * 50001))

    def test_what_follows_a_disconnect_request_is_not_carried_out(self):
        client = self.connect(self.volume)
        client.write(0, KNOWN)
        client.send(nbd.request_bytes(nbd.DISC) + nbd.request_bytes(nbd.WRITE_ZEROES, 0, SIZE))
        self.assert_dropped(client)
        self.assertEqual(KNOWN, self.connect(self.volume).read(0, len(KNOWN)))


class Pieces(ServerTest):
    @classmethod
    def setUpClass(cls):
        cls.volume = cls.new_volume("pieces", SIZE)

    def conversation(self, payload):
        """A good write, a refused one, a read and a flush; and what they must be answered."""
        requests = (nbd.request_bytes(nbd.WRITE, 1000, len(payload), cookie=1, payload=payload)
                    + nbd.request_bytes(nbd.WRITE, SIZE, 9, cookie=2, payload=b"too far!!")
                    + nbd.request_bytes(nbd.FLUSH, cookie=3))
        return requests, {(1, 0), (2, nbd.ENOSPC), (3, 0)}

    def assert_understood(self, client, payload, expected):
        self.assertEqual(expected, {client.reply()[:2] for _ in expected})
        self.assertEqual(payload, client.read(1000, len(payload)))

    def test_requests_may_be_cut_at_any_byte(self):
        client = self.connect(self.volume)
        cuts = len(self.conversation(bytes(41))[0])
        for cut in range(1, cuts):
            payload = self.random.randbytes(41)
            requests, expected = self.conversation(payload)
            with self.subTest(cut=cut):
                client.send(requests[:cut])
                client.wait_until_taken()
                client.send(requests[cut:])
                self.assert_understood(client, payload, expected)

    def test_requests_may_come_byte_by_byte(self):
        client = self.connect(self.volume)
        payload = self.random.randbytes(41)
        requests, expected = self.conversation(payload)
        for byte in requests:
            client.send(bytes([byte]))
            client.wait_until_taken()
        self.assert_understood(client, payload, expected)

    def test_long_payloads_may_come_in_pieces_of_any_size(self):
        client = self.connect(self.volume)
        for _ in range(20):
            payload = self.random.randbytes(self.random.randint(200 << 10, 900 << 10))
            requests, expected = self.conversation(payload)
            at = 0
            while at < len(requests):
                n = self.random.choice((1, 28, 4096, 100000, 300000))
                client.send(requests[at:at + n])
                at += n
            self.assert_understood(client, payload, expected)

    def test_a_client_that_vanishes_within_a_payload_changes_nothing(self):
        before = self.random.randbytes(CHUNK)
        witness = self.connect(self.volume)
        witness.write(0, before)
        for sent in (0, 1, 4096, CHUNK - 1):
            for ending in ("close", "half-close"):
                with self.subTest(sent=sent, ending=ending), self.volume.connect() as client:
                    client.send(nbd.request_bytes(nbd.WRITE, 0, CHUNK, cookie=1) + b"n" * sent)
                    if ending == "half-close":
                        client.socket.shutdown(1)
                        self.assert_dropped(client)
                self.volume.wait_for_clients(1)
                self.assertTrue(before == witness.read(0, CHUNK))


class SeveralConnections(ServerTest):
    @classmethod
    def setUpClass(cls):
        cls.volume = cls.new_volume("several", SIZE)

    def test_what_was_answered_on_one_is_read_on_any_other(self):
        clients = [self.connect(self.volume) for _ in range(4)]
        for _ in range(400):
            writer, reader = self.random.sample(clients, 2)
            payload = self.random.randbytes(self.random.choice((1, 100, 4096, 100000)))
            offset = self.random.randrange(SIZE - len(payload))
            writer.write(offset, payload)
            self.assertTrue(payload == reader.read(offset, len(payload)))

    def test_a_flush_on_one_covers_what_was_answered_on_any(self):
        # New blocks are durable with the commit that maps them, whose data went before it: a dump
        # shows the last commit alone. Right behind the answer, the tick has not made it yet.
        clients = [self.connect(self.volume) for _ in range(4)]
        for number, how in enumerate(("flush", "FUA")):
            with self.subTest(how):
                payload = self.random.randbytes(3 * CHUNK)
                at = (8 * number + 40) * CHUNK
                clients[0].write(at, payload[:CHUNK])
                clients[1].write(at + CHUNK, payload[CHUNK:])
                clients[2].must(nbd.WRITE_ZEROES, at + 3 * CHUNK, 7, nbd.NO_HOLE)
                if how == "flush":
                    clients[3].flush()
                else:
                    clients[3].write(0, b"any", nbd.FUA)
                self.assert_commit_holds(at, 4)

    def assert_commit_holds(self, at, chunks):
        """The durable transaction maps those chunks: the dump reads no other."""
        dump = self.installation.command("tvdump", "vg0/pool0")
        device = re.search(rf'dev_id="{self.volume.field("thin_id")}".*?</device>', dump, re.S)[0]
        mapped = set()
        for tag in re.findall(r"<(?:single|range)_mapping[^>]*>", device):
            numbers = dict(re.findall(r'(\w+)="(\d+)"', tag))
            first = int(numbers.get("origin_begin", numbers.get("origin_block", 0)))
            mapped |= set(range(first, first + int(numbers.get("length", 1))))
        self.assertLessEqual(set(range(at // CHUNK, at // CHUNK + chunks)), mapped)

    def test_neighbours_within_a_block_do_not_lose_each_others_writes(self):
        # Unaligned writes to one device block are read, changed and written back by the server.
        clients = [self.connect(self.volume) for _ in range(4)]
        for _ in range(40):
            pieces = [self.random.randbytes(64) for _ in range(32)]
            for n, piece in enumerate(pieces):
                clients[n % 4].request(nbd.WRITE, CHUNK - 1024 + 64 * n, payload=piece)
            for n in range(len(pieces)):
                self.assertEqual(0, clients[n % 4].reply().error)
            self.assertEqual(b"".join(pieces), clients[0].read(CHUNK - 1024, 64 * 32))

    def test_each_works_on_its_own_while_the_others_do(self):
        failures = []

        def work(n):
            random = self.installation.random(f"{self.id()} {n}")
            with self.volume.connect() as client:
                for _ in range(60):
                    payload = random.randbytes(random.randint(1, 100000))
                    offset = n * (SIZE // 8) + random.randrange(SIZE // 8 - len(payload))
                    client.write(offset, payload)
                    if client.read(offset, len(payload)) != payload:
                        failures.append((n, offset, len(payload)))

        self.in_threads(work, 8)
        self.assertEqual([], failures)

    def in_threads(self, body, n):
        finished = []
        threads = [threading.Thread(target=lambda i=i: (body(i), finished.append(i)))
                   for i in range(n)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(set(range(n)), set(finished))

    def test_a_volume_in_use_is_not_deactivated(self):
        client = self.connect(self.volume)
        with self.assertRaisesRegex(AssertionError, "in use"):
            self.volume.deactivate()
        self.assertEqual(1, len(client.read(0, 1)))


class ClientsThatDoNotRead(ServerTest):
    READ_BYTES = nbd.MIB
    READS = 1000
    RESIDENT_MAX = 400 << 20

    @classmethod
    def setUpClass(cls):
        cls.volume = cls.new_volume("greedy", SIZE)

    def test_they_cost_the_server_little_and_others_nothing(self):
        server = self.volume.server()
        served = self.connect(self.volume)
        contents = self.random.randbytes(SIZE)
        served.write(0, contents)
        greedy = [self.connect(self.volume) for _ in range(2)]
        offsets = {}
        for client in greedy:
            # In one piece: the kernel's bookkeeping for a thousand small ones fills the socket.
            requests = b""
            for n in range(self.READS):
                cookie = next(client.cookies)
                offsets[cookie] = n % 15 * nbd.MIB
                client.read_lengths[cookie] = self.READ_BYTES
                requests += nbd.request_bytes(nbd.READ, offsets[cookie], self.READ_BYTES,
                                              cookie=cookie)
            client.send(requests)
        # Answers wait for them by now: the first has begun to arrive.
        for client in greedy:
            client.wait_until_answered()
        for n in range(200):
            payload = self.random.randbytes(10000)
            served.write(15 * nbd.MIB + n * 5000, payload)
            self.assertTrue(payload == served.read(15 * nbd.MIB + n * 5000, 10000))
            self.assertLess(server.resident_bytes(), self.RESIDENT_MAX)
        self.assert_served_in_the_end(greedy[0], contents, offsets)
        greedy[1].close()
        self.volume.wait_for_clients(2)

    def assert_served_in_the_end(self, client, contents, offsets):
        for _ in range(self.READS):
            reply = client.reply()
            at = offsets[reply.cookie]
            self.assertEqual(0, reply.error)
            self.assertTrue(reply.data == contents[at:at + self.READ_BYTES])

    def test_answers_without_payload_wait_too_without_end(self):
        server = self.volume.server()
        client = self.connect(self.volume)
        client.socket.setblocking(False)
        flood = nbd.request_bytes(nbd.FLUSH) * 1000
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < 256 << 20:
                sent += client.socket.send(flood)
        self.assertLess(sent, 256 << 20, "the server takes requests without end")
        self.assertEqual(1, len(self.connect(self.volume).read(0, 1)))
        self.assertLess(server.resident_bytes(), self.RESIDENT_MAX)
