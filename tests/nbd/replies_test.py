"""Replies in chunks, structured and extended, and what they tell about blocks.

Goal    reads leave holes out, errors carry a text, and block status says of every byte what a
        read and a write of it would meet; all of it in both forms.
Method  a raw client that puts chunks together and checks that they cover each read exactly once.
"""

import struct

import raw_client as nbd
from installation import ServerTest

CHUNK = 64 << 10
CHUNKS = 64
SIZE = CHUNKS * CHUNK
CONTEXTS = (nbd.ALLOCATION, nbd.SHARING)
FORMS = ("structured", "extended")


class ChunksTest(ServerTest):
    def begun(self, volume, form):
        client = self.closing(volume.raw()).begin()
        return client.structured() if form == "structured" else client.extend()

    def chunked(self, volume, form="structured", contexts=()):
        client = self.begun(volume, form)
        if contexts:
            client.select(volume.name, *contexts)
        client.go(volume.name)
        return client


class Reads(ChunksTest):
    @classmethod
    def setUpClass(cls):
        cls.volume = cls.new_volume("chunks", SIZE)

    def setUp(self):
        super().setUp()
        self.plain = self.connect(self.volume)
        self.plain.must(nbd.TRIM, 0, SIZE)
        for n in (1, 2, 5):
            self.plain.write(n * CHUNK, self.random.randbytes(CHUNK))
        self.contents = self.plain.read(0, SIZE)

    def test_holes_are_left_out_and_the_rest_comes_in_as_few_chunks_as_there_are_stretches(self):
        for form in FORMS:
            with self.subTest(form=form):
                client = self.chunked(self.volume, form)
                self.assertTrue(self.contents == client.read(0, SIZE))
                self.assertEqual([nbd.OFFSET_HOLE, nbd.OFFSET_DATA] * 2 + [nbd.OFFSET_HOLE],
                                 [chunk.type for chunk in client.chunks])
                self.assertLess(sum(len(chunk.payload) for chunk in client.chunks),
                                3 * CHUNK + 100)

    def test_any_range_is_what_a_simple_read_gives(self):
        clients = [self.chunked(self.volume, form) for form in FORMS]
        for _ in range(300):
            offset = self.random.randrange(8 * CHUNK)
            length = self.random.choice((1, 512, 4096, CHUNK, self.random.randrange(4 * CHUNK)))
            with self.subTest(offset=offset, length=length):
                for client in clients:
                    flags = self.random.choice((0, nbd.DF, nbd.FUA))
                    found = client.must(nbd.READ, offset, length, flags)
                    self.assertTrue(self.contents[offset:offset + length] == found)
                    if flags == nbd.DF:
                        self.assertLessEqual(len(client.chunks), 1)

    def test_a_read_of_one_stretch_is_one_chunk(self):
        client = self.chunked(self.volume)
        client.read(CHUNK, 4096)
        self.assertEqual([nbd.OFFSET_DATA], [chunk.type for chunk in client.chunks])
        client.read(10 * CHUNK, 4096)
        self.assertEqual([nbd.OFFSET_HOLE], [chunk.type for chunk in client.chunks])

    def test_more_pieces_than_one_send_takes(self):
        volume = self.new_volume("comb", 32 << 20)
        writer = self.connect(volume)
        for n in range(0, 512, 2):
            writer.write(n * CHUNK, bytes([n % 251 + 1]) * CHUNK)
        expected = writer.read(0, 32 << 20)
        for form in FORMS:
            with self.subTest(form=form):
                client = self.chunked(volume, form)
                self.assertTrue(expected == client.read(0, 32 << 20))
                self.assertEqual(512, len(client.chunks))

    def test_several_in_flight_are_each_answered_in_full(self):
        for form in FORMS:
            client = self.chunked(self.volume, form)
            wanted = {}
            for _ in range(300):
                offset = self.random.randrange(7 * CHUNK)
                length = self.random.randint(1, 3 * CHUNK)
                wanted[client.request(nbd.READ, offset, length)] = (offset, length)
            for _ in range(300):
                reply = client.reply()
                offset, length = wanted.pop(reply.cookie)
                self.assertTrue(self.contents[offset:offset + length] == reply.data)

    def test_a_read_of_nothing_is_answered(self):
        for form in FORMS:
            self.assertEqual(b"", self.chunked(self.volume, form).read(CHUNK, 0))

    def test_errors_are_chunks_with_a_text_and_keep_step(self):
        for form in FORMS:
            client = self.chunked(self.volume, form)
            for command, offset, length, flags, error in (
                    (nbd.READ, SIZE, 1, 0, nbd.EINVAL),
                    (nbd.READ, 0, 33 << 20, 0, nbd.EINVAL),
                    (nbd.READ, 0, 33 << 20, nbd.DF, nbd.EOVERFLOW),
                    (nbd.READ, 0, 512, nbd.NO_HOLE, nbd.EINVAL),
                    (nbd.TRIM, SIZE, 1, 0, nbd.EINVAL),
                    (nbd.WRITE_ZEROES, SIZE, 1, 0, nbd.ENOSPC),
                    (nbd.WRITE_ZEROES, CHUNK, 1, nbd.FAST_ZERO, nbd.ENOTSUP),
                    (nbd.FLUSH, 1, 0, 0, nbd.EINVAL), (77, 0, 0, 0, nbd.EINVAL),
                    (nbd.BLOCK_STATUS, 0, SIZE, 0, nbd.EINVAL)):
                with self.subTest(form=form, command=command, error=error):
                    reply = client.call(command, offset, length, flags)
                    self.assertEqual(error, reply.error)
                    self.assertEqual(nbd.ERROR, client.chunks[-1].type)
                    self.assertNotEqual("", client.error_text())
                    self.assertTrue(self.contents[:CHUNK] == client.read(0, CHUNK))


class ExtendedRequests(ChunksTest):
    @classmethod
    def setUpClass(cls):
        cls.volume = cls.new_volume("extended", 5 << 40)

    def setUp(self):
        super().setUp()
        self.client = self.chunked(self.volume, "extended", CONTEXTS)

    def assert_in_sync(self):
        self.client.write(4096, b"in step")
        self.assertEqual(b"in step", self.client.read(4096, 7))

    def test_lengths_beyond_32_bits(self):
        size = self.volume.size
        self.client.must(nbd.TRIM, 0, size)
        self.client.write(size - CHUNK, b"last")
        self.assertEqual([(size - CHUNK, 3), (CHUNK, 0)],
                         self.client.status(0, size)[nbd.ALLOCATION][-2:])
        self.client.must(nbd.CACHE, 0, size)
        self.client.must(nbd.TRIM, 0, size)
        self.client.write(size - CHUNK, b"last")
        self.client.must(nbd.WRITE_ZEROES, 0, size, nbd.FAST_ZERO)
        self.assertEqual([(size, 3)], self.client.status(0, size)[nbd.ALLOCATION])
        self.assert_in_sync()

    def test_zeroes_that_must_be_written_have_a_limit(self):
        reply = self.client.call(nbd.WRITE_ZEROES, 0, 1 << 40, nbd.NO_HOLE)
        self.assertEqual(nbd.EOVERFLOW, reply.error)
        self.assert_in_sync()

    def test_lengths_that_wrap_or_pass_the_end_are_refused(self):
        for offset, length in ((0, (1 << 64) - 1), ((1 << 64) - 1, 1), (1, (1 << 64) - 1),
                               (1 << 63, 1 << 63), (self.volume.size, 1)):
            with self.subTest(offset=offset, length=length):
                for command, error in ((nbd.READ, nbd.EINVAL), (nbd.TRIM, nbd.EINVAL),
                                       (nbd.CACHE, nbd.EINVAL), (nbd.BLOCK_STATUS, nbd.EINVAL),
                                       (nbd.WRITE_ZEROES, nbd.ENOSPC)):
                    self.client.send(nbd.extended_request_bytes(command, offset, length))
                    self.assertEqual(error, self.client.reply().error)
        self.assert_in_sync()

    def test_a_payload_flag_where_none_belongs_is_read_away_and_refused(self):
        harmful = nbd.extended_request_bytes(nbd.DISC) * 10
        for command in (nbd.READ, nbd.FLUSH, nbd.TRIM, nbd.CACHE, nbd.WRITE_ZEROES,
                        nbd.BLOCK_STATUS, 99):
            with self.subTest(command=command):
                self.client.send(nbd.extended_request_bytes(
                    command, 0, len(harmful), nbd.PAYLOAD_LEN, 5, harmful))
                self.assertEqual((5, nbd.EINVAL), self.client.reply()[:2])
                self.assert_in_sync()

    def test_a_write_without_the_flag_has_no_payload(self):
        self.client.send(nbd.extended_request_bytes(nbd.WRITE, 0, 512))
        self.assertEqual(nbd.EINVAL, self.client.reply().error)
        self.assert_in_sync()

    def test_a_payload_out_of_all_proportion_drops_the_client(self):
        for command in (nbd.WRITE, nbd.BLOCK_STATUS, 99):
            for length in (65 << 20, 1 << 32, 1 << 63, (1 << 64) - 1):
                with self.subTest(command=command, length=length):
                    client = self.chunked(self.volume, "extended")
                    client.send(nbd.extended_request_bytes(command, 0, length, nbd.PAYLOAD_LEN))
                    self.assert_dropped(client)

    def test_a_compact_request_drops_the_client(self):
        client = self.chunked(self.volume, "extended")
        client.send(nbd.request_bytes(nbd.READ, 0, 512) + bytes(4))
        self.assert_dropped(client)


class Status(ChunksTest):
    @classmethod
    def setUpClass(cls):
        cls.volume = cls.new_volume("status", SIZE)

    def setUp(self):
        super().setUp()
        self.plain = self.connect(self.volume)
        self.plain.must(nbd.TRIM, 0, SIZE)
        self.plain.write(CHUNK, b"x" * 2 * CHUNK)

    def test_every_byte_is_told_by_where_a_read_of_it_comes_from(self):
        for form in FORMS:
            with self.subTest(form=form):
                client = self.chunked(self.volume, form, CONTEXTS)
                self.assertEqual({
                    nbd.ALLOCATION: [(CHUNK, nbd.HOLE | nbd.ZERO), (2 * CHUNK, 0),
                                     (SIZE - 3 * CHUNK, nbd.HOLE | nbd.ZERO)],
                    nbd.SHARING: [(CHUNK, nbd.NO_BLOCK), (2 * CHUNK, 0),
                                  (SIZE - 3 * CHUNK, nbd.NO_BLOCK)]}, client.status(0, SIZE))

    def test_only_what_was_selected_is_told(self):
        for context in CONTEXTS:
            client = self.chunked(self.volume, "structured", [context])
            self.assertEqual([context], list(client.status(0, SIZE)))

    def test_a_request_may_name_the_contexts_it_is_about(self):
        client = self.chunked(self.volume, "extended", CONTEXTS)
        ids = {name: number for number, name in client.context_ids.items()}
        told = client.status(0, SIZE)
        for wanted in ([nbd.ALLOCATION], [nbd.SHARING], CONTEXTS, list(reversed(CONTEXTS))):
            payload = struct.pack(f">Q{len(wanted)}I", SIZE, *(ids[name] for name in wanted))
            client.must(nbd.BLOCK_STATUS, 0, flags=nbd.PAYLOAD_LEN, payload=payload)
            self.assertEqual({name: told[name] for name in wanted}, client.extents())
        one = ids[nbd.ALLOCATION]
        for wrong in (struct.pack(">Q", SIZE), struct.pack(">QI", SIZE, 99),
                      struct.pack(">QII", SIZE, one, one), struct.pack(">QIb", SIZE, one, 0),
                      struct.pack(">QI", 0, one), struct.pack(">QI", SIZE + 1, one),
                      struct.pack(">Q100I", SIZE, *[one] * 100), b"x"):
            with self.subTest(wrong=wrong[:20]):
                self.assertEqual(nbd.EINVAL, client.call(nbd.BLOCK_STATUS, 0, flags=nbd.PAYLOAD_LEN,
                                                         payload=wrong).error)
        self.assertEqual(told, client.status(0, SIZE))
        # Only of what was selected.
        client = self.chunked(self.volume, "extended", [nbd.SHARING])
        self.assertEqual(nbd.EINVAL, client.call(
            nbd.BLOCK_STATUS, 0, flags=nbd.PAYLOAD_LEN,
            payload=struct.pack(">QI", SIZE, one)).error)

    def test_one_extent_where_one_is_asked_for(self):
        client = self.chunked(self.volume, "structured", CONTEXTS)
        for offset, length in ((0, SIZE), (CHUNK + 5, SIZE - CHUNK - 5), (CHUNK, 100)):
            with self.subTest(offset=offset):
                for extents in client.status(offset, length, nbd.REQ_ONE).values():
                    self.assertEqual(1, len(extents))
                    self.assertLessEqual(extents[0][0], length)

    def test_parts_of_blocks_keep_to_the_request(self):
        client = self.chunked(self.volume, "extended", [nbd.ALLOCATION])
        self.assertEqual({nbd.ALLOCATION: [(7, 3), (1, 0)]}, client.status(CHUNK - 7, 8))
        self.assertEqual({nbd.ALLOCATION: [(5, 0)]}, client.status(CHUNK + 9, 5))
        self.assertEqual({nbd.ALLOCATION: [(1, 0), (9, 3)]}, client.status(3 * CHUNK - 1, 10))
        self.assertEqual({nbd.ALLOCATION: [(1, 3)]}, client.status(SIZE - 1, 1))

    def test_a_length_of_zero_and_the_end_are_refused(self):
        client = self.chunked(self.volume, "structured", CONTEXTS)
        for offset, length in ((0, 0), (SIZE, 1), (SIZE - 1, 2), (1 << 63, 5)):
            self.assertEqual(nbd.EINVAL, client.call(nbd.BLOCK_STATUS, offset, length).error)

    def test_what_was_answered_is_told_at_once_on_every_connection(self):
        client = self.chunked(self.volume, "structured", [nbd.ALLOCATION])
        for n in range(10, 40):
            self.plain.write(n * CHUNK, b"!")
            self.assertEqual({nbd.ALLOCATION: [(CHUNK, 0)]}, client.status(n * CHUNK, CHUNK))
        self.plain.must(nbd.WRITE_ZEROES, 10 * CHUNK, 30 * CHUNK)
        self.assertEqual({nbd.ALLOCATION: [(30 * CHUNK, 3)]},
                         client.status(10 * CHUNK, 30 * CHUNK))

    def test_more_extents_than_fit_are_told_in_several_answers(self):
        chunks = 6000
        volume = self.new_volume("many", chunks * CHUNK)
        writer = self.connect(volume)
        cookies = [writer.request(nbd.WRITE, n * CHUNK, payload=b"1") for n in range(0, chunks, 2)]
        for _ in cookies:
            self.assertEqual(0, writer.reply().error)
        for form in FORMS:
            client = self.chunked(volume, form, [nbd.ALLOCATION])
            at, answers = 0, 0
            while at < volume.size:
                extents = client.status(at, volume.size - at)[nbd.ALLOCATION]
                self.assertLessEqual(len(extents), 2048)
                for length, flags in extents:
                    self.assertEqual((CHUNK, 0 if at // CHUNK % 2 == 0 else 3), (length, flags))
                    at += length
                answers += 1
            self.assertLess(answers, 5)

    def test_blocks_of_a_snapshot_are_shared_until_they_are_written(self):
        name = "shown"
        self.installation.command("tvsnapshot", "-n", name, "-kn", self.volume.path)
        self.addCleanup(self.installation.command, "tvremove", "-y", f"vg0/{name}")
        client = self.chunked(self.volume, "structured", CONTEXTS)
        self.assertEqual([(CHUNK, nbd.NO_BLOCK), (2 * CHUNK, nbd.SHARED)],
                         client.status(0, 3 * CHUNK)[nbd.SHARING])
        self.plain.write(CHUNK + 100, b"own now")
        self.assertEqual([(CHUNK, nbd.NO_BLOCK), (CHUNK, 0), (CHUNK, nbd.SHARED)],
                         client.status(0, 3 * CHUNK)[nbd.SHARING])
        self.assertEqual([(CHUNK, 3), (2 * CHUNK, 0)],
                         client.status(0, 3 * CHUNK)[nbd.ALLOCATION])
