"""The end of a server that has clients, and what a client finds behind it.

Goal    what is in flight when the server is asked to end is answered, what comes later is refused
        by ESHUTDOWN, and the server ends; answered and flushed data are there afterwards. Whoever
        connects again sees the volume's new size.
Method  SIGTERM to the server of a pool of its own, in the middle of requests of several clients.
"""

import os
import signal

import installation
import raw_client as nbd
from installation import ServerTest

SIZE = 64 << 20
PIECE = 1 << 20


class Shutdown(ServerTest):
    def setUp(self):
        super().setUp()
        installation.current.pool("ending", "128m")
        self.volume = installation.current.volume("ended", SIZE, pool="ending").activate()
        self.addCleanup(self.remove)  # after the clients are closed

    def remove(self):
        if self.volume.field("uri"):
            self.volume.wait_for_clients(0)
            self.volume.deactivate()
        installation.current.command("tvremove", "-y", "vg0/ending")

    def replies_until_closed(self, client):
        replies = {}
        try:
            while True:
                reply = client.reply()
                replies[reply.cookie] = reply.error
        except nbd.Closed:
            return replies

    def test_what_is_in_flight_is_answered_and_what_comes_later_is_refused(self):
        payload = self.random.randbytes(PIECE)
        server = self.volume.server()
        clients = [self.connect(self.volume) for _ in range(3)]
        idle, negotiating = self.connect(self.volume), self.closing(self.volume.raw()).begin()
        sent = [[client.request(nbd.WRITE, n * PIECE, payload=payload) for n in range(16)]
                for client in clients]
        os.kill(server.pid, signal.SIGTERM)
        late = []
        for client in clients:
            try:
                late.append(client.request(nbd.READ, 0, 512))
            except nbd.Closed:
                late.append(None)
        for client, cookies, last in zip(clients, sent, late):
            replies = self.replies_until_closed(client)
            self.assertEqual(cookies, [c for c in cookies if c in replies])
            self.assertLessEqual(set(replies.values()), {0, nbd.ESHUTDOWN})
            if last in replies:
                self.assertIn(replies[last], (0, nbd.ESHUTDOWN))
        self.assert_dropped(idle)
        self.assert_dropped(negotiating)
        self.assertTrue(server.ended(nbd.PATIENCE_S), "the server does not end")
        self.volume.activate()
        reader = self.connect(self.volume)
        answered = [n for n, cookie in enumerate(sent[0]) if replies.get(cookie, 0) == 0]
        for n in answered:
            self.assertIn(reader.read(n * PIECE, PIECE), (payload, bytes(PIECE)))

    def test_requests_that_come_during_the_end_are_told_why_and_options_too(self):
        server = self.volume.server()
        client, chunked = self.connect(self.volume), self.closing(self.volume.raw()).begin()
        chunked.structured().go("ended")
        choosing = self.closing(self.volume.raw()).begin()
        os.kill(server.pid, signal.SIGTERM)
        self.wait_until_refused(client)
        payload = nbd.request_bytes(nbd.DISC) * 100
        self.assertEqual(nbd.ESHUTDOWN, client.call(nbd.WRITE, 0, payload=payload).error)
        self.assertEqual(nbd.ESHUTDOWN, client.call(nbd.FLUSH).error)
        self.assertEqual(nbd.ESHUTDOWN, chunked.call(nbd.READ, 0, 512).error)
        self.assertIn("shutting down", chunked.error_text())
        self.assertEqual(nbd.SHUTDOWN, choosing.outcome(nbd.GO, nbd.info_data("ended")))
        self.assertEqual(nbd.SHUTDOWN, choosing.outcome(nbd.LIST))
        self.assertEqual(nbd.ACK, choosing.outcome(nbd.ABORT))
        self.assertTrue(server.ended(nbd.PATIENCE_S), "the server does not end")

    def wait_until_refused(self, client):
        while (error := client.call(nbd.FLUSH).error) == 0:
            pass
        self.assertEqual(nbd.ESHUTDOWN, error)

    def test_a_client_within_a_payload_does_not_hold_the_server(self):
        server = self.volume.server()
        client = self.connect(self.volume)
        client.send(nbd.request_bytes(nbd.WRITE, 0, PIECE) + b"half" * 1000)
        client.wait_until_taken()
        os.kill(server.pid, signal.SIGTERM)
        self.assertTrue(server.ended(nbd.PATIENCE_S), "the server does not end")

    def test_a_new_size_is_seen_by_whoever_reconnects(self):
        before = self.connect(self.volume)
        before.write(SIZE - 4, b"last")
        installation.current.command("tvextend", "-L", f"{2 * SIZE}b", self.volume.path)
        after = self.connect(self.volume)
        after.write(2 * SIZE - 4, b"more")
        self.assertEqual(b"last", after.read(SIZE - 4, 4))
        self.assertEqual(b"more", before.read(2 * SIZE - 4, 4))
        told = self.closing(self.volume.raw()).begin().option(nbd.INFO, nbd.info_data("ended"))
        self.assertEqual(2 * SIZE, int.from_bytes(told[0].data[2:10], "big"))
