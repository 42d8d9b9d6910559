"""The handshake, from greeting to transmission, spoken byte by byte.

Goal    known options are answered as asked, unknown and malformed ones refused without losing
        step, and what cannot be answered ends the connection.
Method  a raw client against a pool with two exports, another with one, and a read-only one.
"""

import contextlib
import struct

import raw_client as nbd
import installation
from installation import ServerTest

SIZE = 16 << 20
# Has flags, flush, FUA, trim, zeroes, multi-conn, cache, fast zeroes.
WRITABLE_FLAGS = 1 | 4 | 8 | 32 | 64 | 256 | 1024 | 2048
SEND_DF = 128
READ_ONLY_FLAG = 2
OPTION_CEILING = 4 << 20  # beyond it the server need not read an option's data away


def setUpModule():
    global first, second, alone
    first = installation.current.volume("first", SIZE).activate()
    second = installation.current.volume("second", SIZE // 2, read_only=True).activate()
    installation.current.pool("lonely", "64m")
    alone = installation.current.volume("alone", SIZE, pool="lonely").activate()


def tearDownModule():
    for volume in (first, second, alone):
        volume.remove()


class HandshakeTest(ServerTest):
    def raw(self, volume=None):
        return self.closing((volume or first).raw())

    def begun(self, volume=None):
        return self.raw(volume).begin()

    def assert_in_sync(self, client):
        """Still negotiating, and every byte so far understood as it was meant."""
        self.assertEqual(["first", "second"], client.list())

    def assert_transmits(self, client):
        client.write(12345, b"answered")
        self.assertEqual(b"answered", client.read(12345, 8))


class Greeting(HandshakeTest):
    def test_the_server_offers_fixed_newstyle_and_no_zeroes_and_nothing_else(self):
        self.assertEqual(nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES, self.raw().greeting())

    def test_a_client_flag_that_is_unknown_drops_the_client(self):
        for bit in (2, 3, 8, 31):
            with self.subTest(bit=bit):
                client = self.begun_with(nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES | 1 << bit)
                self.assert_dropped(client)

    def begun_with(self, flags):
        return self.raw().begin(flags)

    def test_each_combination_of_client_flags_may_use_export_name(self):
        for flags in (nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES, nbd.FIXED_NEWSTYLE, nbd.NO_ZEROES, 0):
            with self.subTest(flags=flags):
                client = self.begun_with(flags)
                client.send(nbd.option_bytes(nbd.EXPORT_NAME, b"first"))
                client.receive(10 if flags & nbd.NO_ZEROES else 134)
                self.assert_transmits(client)

    def test_garbage_instead_of_a_handshake_drops_the_client(self):
        flags = struct.pack(">I", nbd.FIXED_NEWSTYLE)
        for garbage in (
                b"GET / HTTP/1.1\r\nHost: disk\r\n\r\n",
                b"\xff" * 64,
                flags + b"\0" * 16,
                flags + nbd.option_bytes(nbd.LIST, magic=nbd.GREETING),
                flags + nbd.option_bytes(nbd.LIST, magic=nbd.IHAVEOPT ^ 1),
                flags + nbd.request_bytes(nbd.READ, 0, 512)):
            with self.subTest(garbage=garbage[:24]):
                client = self.raw()
                client.greeting()
                client.send(garbage)
                self.assert_dropped(client)

    def test_a_handshake_of_single_bytes_works(self):
        client = self.raw()
        client.greeting()
        for byte in nbd.handshake_bytes("first"):
            client.send(bytes([byte]))
            client.wait_until_taken()
        self.assertEqual(nbd.ACK, client.option_replies(nbd.GO)[-1].type)
        self.assert_transmits(client)

    def test_a_handshake_and_requests_sent_in_one_piece_are_answered_in_order(self):
        client = self.raw()
        client.send(struct.pack(">I", nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES)
                    + nbd.option_bytes(0x7654321, b"data")
                    + nbd.option_bytes(nbd.INFO, nbd.info_data("first"))
                    + nbd.option_bytes(nbd.LIST)
                    + nbd.option_bytes(nbd.GO, nbd.info_data("first"))
                    + nbd.request_bytes(nbd.WRITE, 77, 5, cookie=1, payload=b"early")
                    + nbd.request_bytes(nbd.FLUSH, cookie=2))
        client.greeting()
        self.assertEqual(nbd.UNSUP, client.option_replies(0x7654321)[-1].type)
        self.assertEqual(nbd.ACK, client.option_replies(nbd.INFO)[-1].type)
        self.assertEqual(3, len(client.option_replies(nbd.LIST)))
        self.assertEqual(nbd.ACK, client.option_replies(nbd.GO)[-1].type)
        self.assertEqual({(1, 0), (2, 0)}, {client.reply()[:2] for _ in range(2)})
        self.assertEqual(b"early", client.read(77, 5))

    def test_a_client_that_vanishes_anywhere_in_the_handshake_disturbs_nobody(self):
        neighbour = self.connect(first)
        neighbour.write(0, b"undisturbed")
        server = first.server()
        handshake = nbd.handshake_bytes("first")
        for cut in range(len(handshake) + 1):
            client = first.raw()
            client.send(handshake[:cut])
            client.close()
            self.assertEqual(b"undisturbed", neighbour.read(0, 11))
        self.assertEqual(server.pid, first.server().pid)
        first.wait_for_clients(1)


class List(HandshakeTest):
    def test_it_names_every_export(self):
        self.assertEqual(["first", "second"], self.begun().list())

    def test_it_names_the_only_export(self):
        self.assertEqual(["alone"], self.begun(alone).list())

    def test_it_can_be_asked_again(self):
        client = self.begun()
        self.assertEqual(client.list(), client.list())

    def test_with_data_it_is_invalid(self):
        client = self.begun()
        for data in (b"x", b"\0" * 4, b"first", b"y" * 5000):
            with self.subTest(data=data[:8]):
                self.assertEqual([(nbd.INVALID, b"")],
                                 [(r.type, b"") for r in client.option(nbd.LIST, data)])
                self.assert_in_sync(client)


class InfoAndGo(HandshakeTest):
    def infos(self, replies):
        """The payload of each REP_INFO, by its type."""
        self.assertEqual(nbd.ACK, replies[-1].type)
        found = {}
        for reply in replies[:-1]:
            self.assertEqual(nbd.INFO_REPLY, reply.type)
            kind = struct.unpack(">H", reply.data[:2])[0]
            self.assertNotIn(kind, found)
            found[kind] = reply.data[2:]
        return found

    def test_info_tells_size_and_flags(self):
        for volume, flags in ((first, WRITABLE_FLAGS), (second, WRITABLE_FLAGS | READ_ONLY_FLAG)):
            with self.subTest(volume=volume.name):
                replies = self.begun().option(nbd.INFO, nbd.info_data(volume.name))
                told = struct.unpack(">QH", self.infos(replies)[nbd.INFO_EXPORT])
                self.assertEqual((volume.size, flags), told)

    def test_info_tells_block_sizes_that_the_protocol_allows(self):
        replies = self.begun().option(nbd.INFO, nbd.info_data("first", [nbd.INFO_BLOCK_SIZE]))
        least, preferred, most = struct.unpack(">III", self.infos(replies)[nbd.INFO_BLOCK_SIZE])
        self.assertEqual(1, least)
        self.assertGreaterEqual(preferred, 512)
        self.assertEqual(0, preferred & (preferred - 1))
        self.assertGreaterEqual(most, max(preferred, nbd.MIB))

    def test_info_tells_the_name_when_asked(self):
        client = self.begun()
        asked = client.option(nbd.INFO, nbd.info_data("first", [nbd.INFO_NAME]))
        self.assertEqual(b"first", self.infos(asked)[nbd.INFO_NAME])

    def test_unknown_info_types_are_ignored(self):
        client = self.begun()
        replies = client.option(nbd.INFO, nbd.info_data("first", [4, 999, 65535] * 100))
        self.assertIn(nbd.INFO_EXPORT, self.infos(replies))
        self.assert_in_sync(client)

    def test_an_info_type_asked_twice_is_answered_once(self):
        replies = self.begun().option(nbd.INFO, nbd.info_data("first", [nbd.INFO_NAME] * 50))
        self.assertEqual(b"first", self.infos(replies)[nbd.INFO_NAME])

    def test_info_keeps_negotiating_and_go_repeats_its_answers(self):
        client = self.begun()
        data = nbd.info_data("first", [nbd.INFO_NAME, nbd.INFO_BLOCK_SIZE])
        told = client.option(nbd.INFO, data)
        self.assertEqual(told, client.option(nbd.GO, data))
        self.assert_transmits(client)

    def test_go_without_infos_starts_transmission(self):
        self.assert_transmits(self.connect(first))

    def test_the_empty_name_is_the_only_export_and_no_export_among_several(self):
        client = self.begun(alone)
        client.go("")
        self.assert_transmits(client)
        self.assertEqual(nbd.UNKNOWN, self.begun().outcome(nbd.GO, nbd.info_data("")))

    def test_inner_lengths_that_do_not_add_up_are_invalid(self):
        good = nbd.info_data("first", [nbd.INFO_NAME])
        malformed = [good[:n] for n in range(len(good))] + [
            good + b"\0",
            good + b"\0\0",
            struct.pack(">I", 0xFFFFFFFF) + good[4:],
            struct.pack(">I", 0x80000005) + good[4:],
            struct.pack(">I5sH", 6, b"first", 0),
            struct.pack(">I5sH", 4, b"first", 0),
            struct.pack(">I5sH", 5, b"first", 65535),
            struct.pack(">I5sHH", 5, b"first", 0, 1),
            struct.pack(">I", 5)]
        for option in (nbd.INFO, nbd.GO):
            for begin in range(0, len(malformed), 20):
                client = self.begun()
                for data in malformed[begin:begin + 20]:
                    with self.subTest(option=option, data=data):
                        types = [reply.type for reply in client.option(option, data)]
                        self.assertEqual([nbd.INVALID], types)
                self.assert_in_sync(client)
                client.go("first")
                self.assert_transmits(client)

    def test_an_export_that_is_unknown_is_refused_in_step(self):
        client = self.begun()
        for name in ("nothing", "First", "first\0", "firs", "first ", b"\xff\xfe", "x" * 4096):
            for option in (nbd.INFO, nbd.GO):
                with self.subTest(name=name[:10], option=option):
                    replies = client.option(option, nbd.info_data(name, [nbd.INFO_NAME]))
                    self.assertEqual([nbd.UNKNOWN], [r.type for r in replies])
        self.assert_in_sync(client)
        client.go("first")
        self.assert_transmits(client)


class Replies(HandshakeTest):
    """Which form of reply was agreed on."""

    def flags(self, client):
        told = client.option(nbd.INFO, nbd.info_data("first"))
        return struct.unpack(">HQH", told[0].data)[2]

    def test_structured_replies_may_be_asked_for_twice_and_bring_df(self):
        client = self.begun()
        self.assertEqual(WRITABLE_FLAGS, self.flags(client))
        client.structured().structured()
        self.assertEqual(WRITABLE_FLAGS | SEND_DF, self.flags(client))
        client.go("first")
        self.assert_transmits(client)

    def test_with_data_they_are_invalid(self):
        for option in (nbd.STRUCTURED_REPLY, nbd.EXTENDED_HEADERS):
            with self.subTest(option=option):
                client = self.begun()
                self.assertEqual(nbd.INVALID, client.outcome(option, b"x"))
                self.assertEqual(WRITABLE_FLAGS, self.flags(client))

    def test_extended_headers_end_the_older_forms(self):
        client = self.begun().structured().extend()
        self.assertEqual(nbd.EXT_HEADER_REQD, client.outcome(nbd.STRUCTURED_REPLY))
        self.assertEqual(WRITABLE_FLAGS | SEND_DF, self.flags(client))
        client.go("first")
        self.assert_transmits(client)
        client = self.begun().extend()
        client.send(nbd.option_bytes(nbd.EXPORT_NAME, b"first"))
        self.assert_dropped(client)

    def test_export_name_after_structured_replies_transmits_in_chunks(self):
        client = self.begun().structured()
        client.send(nbd.option_bytes(nbd.EXPORT_NAME, b"first"))
        client.receive(10)
        client.read(0, 512)
        self.assertTrue(client.chunks)


class MetaContexts(HandshakeTest):
    ALL = [nbd.ALLOCATION, nbd.SHARING]

    def listed(self, client, *queries):
        replies = client.must_option(nbd.LIST_META_CONTEXT, nbd.context_data("first", *queries))
        self.assertTrue(all(reply.data[:4] == bytes(4) for reply in replies[:-1]))
        return [reply.data[4:].decode() for reply in replies[:-1]]

    def test_a_list_answers_queries_and_ignores_what_it_does_not_know(self):
        client = self.begun().structured()
        for queries, expected in (
                ((), self.ALL), (("base:",), self.ALL[:1]), (("base:allocation",), self.ALL[:1]),
                (("x-thinvol:",), self.ALL[1:]), (("base:", "x-thinvol:sharing"), self.ALL),
                (("base:nothing",), []), (("qemu:allocation-depth",), []), (("",), []),
                (("base:allocation",) * 1000, self.ALL[:1])):
            with self.subTest(queries=queries[:3]):
                self.assertEqual(expected, self.listed(client, *queries))

    def test_a_selection_names_contexts_in_full_and_replaces_the_one_before(self):
        client = self.begun().structured()
        self.assertEqual(self.ALL, client.select("first", *self.ALL))
        for queries in ((), ("base:",), ("",), ("base:allocatio",), ("base:allocation2",)):
            with self.subTest(queries=queries):
                self.assertEqual([], client.select("first", *queries))
        client.go("first")
        self.assertEqual(nbd.EINVAL, client.call(nbd.BLOCK_STATUS, 0, SIZE).error)

    def test_a_selection_that_fails_leaves_none(self):
        for data in (b"", nbd.context_data("first", "base:allocation") + b"x",
                     nbd.context_data("nothing", "base:allocation")):
            with self.subTest(data=data):
                client = self.begun().structured()
                client.select("first", nbd.ALLOCATION)
                self.assertIn(client.outcome(nbd.SET_META_CONTEXT, data),
                              (nbd.INVALID, nbd.UNKNOWN))
                client.go("first")
                self.assertEqual(nbd.EINVAL, client.call(nbd.BLOCK_STATUS, 0, SIZE).error)

    def test_a_selection_is_for_its_export_only(self):
        client = self.begun().structured()
        client.select("second", nbd.ALLOCATION)
        client.go("first")
        self.assertEqual(nbd.EINVAL, client.call(nbd.BLOCK_STATUS, 0, SIZE).error)
        self.assert_transmits(client)

    def test_before_structured_replies_both_are_invalid(self):
        client = self.begun()
        for option in (nbd.LIST_META_CONTEXT, nbd.SET_META_CONTEXT):
            self.assertEqual(nbd.INVALID, client.outcome(option, nbd.context_data("first")))
        self.assert_in_sync(client)

    def test_inner_lengths_that_do_not_add_up_are_invalid(self):
        good = nbd.context_data("first", "base:allocation")
        malformed = [good[:n] for n in range(len(good))] + [
            good + b"\0", struct.pack(">I", 0xFFFFFFFF) + good[4:],
            good[:9] + struct.pack(">I", 0xFFFFFFFF) + good[13:],
            good[:13] + struct.pack(">I", 0xFFFFFFFF) + good[17:]]
        for option in (nbd.LIST_META_CONTEXT, nbd.SET_META_CONTEXT):
            for begin in range(0, len(malformed), 20):
                client = self.begun().structured()
                for data in malformed[begin:begin + 20]:
                    with self.subTest(option=option, data=data):
                        self.assertEqual(nbd.INVALID, client.outcome(option, data))
                self.assert_in_sync(client)


class ExportName(HandshakeTest):
    def test_a_known_name_is_answered_by_size_and_flags_and_zeroes_unless_waived(self):
        for client_flags in (nbd.FIXED_NEWSTYLE | nbd.NO_ZEROES, nbd.FIXED_NEWSTYLE):
            for volume, flags in ((first, WRITABLE_FLAGS),
                                  (second, WRITABLE_FLAGS | READ_ONLY_FLAG)):
                with self.subTest(client_flags=client_flags, volume=volume.name):
                    client = self.raw().begin(client_flags)
                    client.send(nbd.option_bytes(nbd.EXPORT_NAME, volume.name.encode()))
                    self.assertEqual((volume.size, flags), struct.unpack(">QH", client.receive(10)))
                    if client_flags & nbd.NO_ZEROES == 0:
                        self.assertEqual(bytes(124), client.receive(124))
                    self.assertEqual(bytes(8), client.read(volume.size - 8, 8))

    def test_a_name_that_is_unknown_or_too_long_drops_the_client_without_a_word(self):
        for name in (b"nothing", b"", b"first\0", b"n" * 5000, b"n" * (1 << 17)):
            with self.subTest(length=len(name)):
                client = self.begun()
                # A long name may be refused by its length, while it is still being sent.
                with contextlib.suppress(nbd.Closed):
                    client.send(nbd.option_bytes(nbd.EXPORT_NAME, name))
                self.assert_dropped(client)

    def test_the_empty_name_is_the_only_export(self):
        client = self.begun(alone)
        client.send(nbd.option_bytes(nbd.EXPORT_NAME))
        self.assertEqual(SIZE, struct.unpack(">QH", client.receive(10))[0])


class Abort(HandshakeTest):
    def test_it_is_acknowledged_and_ends_the_connection(self):
        for data in (b"", b"bye", b"b" * 10000):
            with self.subTest(length=len(data)):
                client = self.begun()
                self.assertEqual([(nbd.ACK, b"")], client.option(nbd.ABORT, data))
                self.assert_dropped(client)

    def test_a_client_that_does_not_wait_for_its_answer_disturbs_nobody(self):
        for _ in range(50):
            client = self.begun()
            client.send(nbd.option_bytes(nbd.ABORT))
            client.close()
        self.assert_in_sync(self.begun())


class OtherOptions(HandshakeTest):
    def test_options_not_supported_are_refused_in_step(self):
        client = self.begun()
        for option, data in (
                (0x7654321, b"data"), (0x7654321, b""), (0, b""), (nbd.PEEK_EXPORT, b"first"),
                (12, b""), (0xFFFFFFFF, b"\xff" * 300)):
            with self.subTest(option=option, length=len(data)):
                self.assertEqual([nbd.UNSUP], [r.type for r in client.option(option, data)])
                self.assert_in_sync(client)
        client.go("first")
        self.assert_transmits(client)

    def test_tls_that_is_not_there_is_refused_in_step(self):
        client = self.begun()
        self.assertEqual(nbd.POLICY, client.outcome(nbd.STARTTLS))
        self.assertEqual(nbd.INVALID, client.outcome(nbd.STARTTLS, b"x"))
        self.assert_in_sync(client)

    def test_much_data_of_an_unknown_option_is_read_away(self):
        client = self.begun()
        for length in (1 << 16, (1 << 18) - 16, 1 << 18, nbd.MIB, OPTION_CEILING):
            with self.subTest(length=length):
                # Made of options, so that a byte too few or too many is noticed.
                data = (nbd.option_bytes(nbd.ABORT) * (length // 16 + 1))[:length]
                self.assertEqual([nbd.UNSUP], [r.type for r in client.option(0x7654321, data)])
                self.assert_in_sync(client)

    def test_known_options_with_more_data_than_any_needs_are_refused_as_what_they_are(self):
        # UNSUP would tell a client that the server does not know GO at all.
        for option in (nbd.LIST, nbd.INFO, nbd.GO):
            with self.subTest(option=option):
                client = self.begun()
                data = nbd.info_data("first", [nbd.INFO_NAME] * 60000)
                self.assertIn(client.outcome(option, data), (nbd.INVALID, nbd.TOO_BIG))
                self.assert_in_sync(client)

    def test_an_option_length_beyond_reason_drops_the_client(self):
        for option in (nbd.LIST, nbd.GO, 0x7654321):
            for length in (64 * nbd.MIB, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
                with self.subTest(option=option, length=length):
                    client = self.begun()
                    client.send(nbd.option_bytes(option, length=length))
                    self.assert_dropped(client)

    def test_a_client_may_send_many_options_but_not_without_end(self):
        for option, last in ((0x7654321, nbd.UNSUP), (nbd.LIST, nbd.ACK)):
            with self.subTest(option=option):
                client = self.begun()
                answered = 0
                with self.assertRaises(nbd.Closed):
                    while answered < 5000:
                        self.assertEqual(last, client.option(option)[-1].type)
                        answered += 1
                self.assertGreaterEqual(answered, 32)
