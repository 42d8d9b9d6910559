"""What clients did with a volume is counted, and what they may do in a second is limited.

Goal    counters tell what succeeded; a limit holds, for that volume alone and for all of its
        clients together, and can be changed while requests wait; flushes do not; what waits is
        bounded, and is no longer in anybody's way once its client is gone; nor is who holds
        memory that others need.
Method  raw clients. Times are bounded only from below, by what the limit allows, which no noise
        can shorten; otherwise it is the order of answers that counts.
"""

import concurrent.futures
import json
import os
import select
import signal
import time

import installation
import raw_client as nbd
from installation import ServerTest

SIZE = 128 << 20
KIB = 1024


def setting(volume, text):
    installation.current.command("tvchange", "--setting", text, volume.path)


class Counters(ServerTest):
    FIELDS = ("read_ios", "write_ios", "flush_ios", "trim_ios", "zero_ios", "read_bytes",
              "write_bytes", "trim_bytes", "zero_bytes")

    def counted(self, volume, fields=FIELDS):
        report = json.loads(self.installation.command(
            "tvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", ",".join(fields),
            volume.path))
        row = report["report"][0]["lv"][0]
        return [int(row[name]) for name in fields]

    def test_what_succeeded_is_counted_for_its_volume(self):
        volume, other = (self.new_volume(name, SIZE) for name in ("counted", "uncounted"))
        self.assertEqual([0] * 9, self.counted(volume))
        client = self.connect(volume)
        for _ in range(3):
            client.read(0, 4 * KIB)
        client.write(0, bytes(512))
        client.write(1 << 20, bytes(64 * KIB), flags=nbd.FUA)
        client.flush()
        client.must(nbd.TRIM, 0, 1 << 20)
        client.must(nbd.WRITE_ZEROES, 0, 2 << 20)
        second = self.connect(volume)
        second.read(0, 512)
        self.assertNotEqual(0, client.call(nbd.READ, SIZE, 512).error)
        self.assertNotEqual(0, client.call(nbd.WRITE, SIZE, payload=bytes(512)).error)
        self.assertEqual([4, 2, 1, 1, 1, 12 * KIB + 512, 64 * KIB + 512, 1 << 20, 2 << 20],
                         self.counted(volume))
        self.assertEqual([0] * 9, self.counted(other))
        self.assertEqual(2, volume.clients())

    def test_the_last_seconds_are_averaged(self):
        volume = self.new_volume("averaged", SIZE)
        client = self.connect(volume)
        fields = ("read_iops", "write_iops", "read_rate", "write_rate")
        deadline = time.monotonic() + nbd.PATIENCE_S
        while not all(rates := self.counted(volume, fields)):
            self.assertLess(time.monotonic(), deadline, rates)
            for _ in range(100):
                client.read(0, 4 * KIB)
                client.write(0, bytes(4 * KIB))
        while any(rates := self.counted(volume, fields)):
            self.assertLess(time.monotonic(), deadline, rates)


class Limits(ServerTest):
    def limited(self, name, *texts):
        volume = self.new_volume(name, SIZE)
        for text in texts:
            setting(volume, text)
        return volume

    def ask(self, client, count, length=512):
        return [client.request(nbd.WRITE, i * length, payload=bytes(length))
                for i in range(count)]

    def answered(self, client, cookies):
        for _ in cookies:
            self.assertEqual(0, client.reply().error)

    def test_requests_a_second_of_all_clients_together_and_nobody_else(self):
        volume, neighbour = self.limited("iops", "nbd.iops_maximum=20"), self.new_volume("free")
        self.assertEqual("20", volume.field("nbd_iops_maximum"))
        clients = [self.connect(volume) for _ in range(3)]
        free = self.connect(neighbour)
        began = time.monotonic()
        asked = [(client, self.ask(client, 40)) for client in clients]
        # None of these waits for those that do.
        for _ in range(200):
            free.write(0, bytes(512))
        self.assertLess(sum(Counters.counted(self, volume, ("write_ios",))), 120)
        for client, cookies in asked:
            self.answered(client, cookies)
        # One second's worth at once, the others one by one.
        self.assertGreater(time.monotonic() - began, (120 - 20) / 20 - 0.1)

    def test_bytes_a_second_whatever_the_size_of_requests(self):
        volume = self.limited("bandwidth", "nbd.bandwidth_maximum=4m")
        self.assertEqual("4.00m", volume.field("nbd_bandwidth_maximum"))
        client = self.connect(volume)
        began = time.monotonic()
        self.answered(client, self.ask(client, 6, 1 << 20))
        client.read(0, 8 << 20)  # more than a second's worth: the next one pays
        client.read(0, 512)
        self.assertGreater(time.monotonic() - began, (14 - 4) / 4 - 0.1)

    def test_a_flush_does_not_wait(self):
        volume = self.limited("flushed", "nbd.iops_maximum=2")
        client = self.connect(volume)
        writes = self.ask(client, 12)
        flush = client.request(nbd.FLUSH)
        order = [client.reply().cookie for _ in range(13)]
        self.assertNotEqual(flush, order[-1])
        self.assertEqual(sorted([*writes, flush]), sorted(order))

    def test_a_change_is_felt_by_those_that_wait(self):
        volume = self.limited("changed", "nbd.iops_maximum=1")
        client = self.connect(volume)
        writes = self.ask(client, 300)
        client.reply()
        setting(volume, "nbd.iops_maximum=0")
        self.answered(client, writes[1:])
        self.assertEqual("", volume.field("nbd_iops_maximum"))

    def test_what_waits_is_bounded(self):
        volume = self.limited("bounded", "nbd.bandwidth_maximum=512b")
        client = self.connect(volume)
        before = volume.server().resident_bytes()
        request = nbd.request_bytes(nbd.WRITE, length=1 << 20, payload=bytes(1 << 20))
        client.socket.setblocking(False)
        sent = 0
        while sent < 1 << 30 and select.select([], [client.socket], [], 2)[1]:
            sent += client.socket.send(memoryview(request)[sent % len(request):])
        self.assertLess(sent, 100 << 20)
        self.assertLess(volume.server().resident_bytes() - before, 100 << 20)

    def test_a_client_that_is_gone_holds_up_nobody(self):
        for how in ("vanishes", "says goodbye"):
            volume = self.limited(how.replace(" ", "-"), "nbd.iops_maximum=1")
            client = self.connect(volume)
            self.ask(client, 200)
            if how == "says goodbye":
                client.send(nbd.request_bytes(nbd.DISC))
            client.wait_until_taken()
            client.close()
            volume.wait_for_clients(0)
            volume.deactivate()
            volume.activate()

    def test_a_server_that_ends_does_what_it_took(self):
        current = installation.current
        current.pool("ending", "64m")
        volume = current.volume("ended", 16 << 20, pool="ending")
        self.addCleanup(current.command, "tvremove", "-y", "vg0/ending")
        setting(volume, "nbd.iops_maximum=1")
        volume.activate()
        client = self.connect(volume)
        writes = self.ask(client, 100)
        client.reply()
        client.wait_until_taken()
        server = volume.server()
        os.kill(server.pid, signal.SIGTERM)
        errors = [client.reply().error for _ in writes[1:]]
        self.assertLessEqual(set(errors), {0, nbd.ESHUTDOWN})
        self.assertIn(0, errors)
        self.assertTrue(server.ended(nbd.PATIENCE_S))

    def test_what_was_asked_for_and_held_is_not_written_behind_a_new_end(self):
        volume = self.limited("reduced", "nbd.iops_maximum=1")
        client = self.connect(volume)
        writes = [client.request(nbd.WRITE, SIZE - 512, payload=b"x" * 512) for _ in range(5)]
        self.assertEqual(0, client.reply().error)
        client.wait_until_taken()
        self.installation.command("tvreduce", "-y", "-L", f"{SIZE // 2}b", volume.path)
        setting(volume, "nbd.iops_maximum=0")
        self.assertIn(nbd.ENOSPC, {client.reply().error for _ in writes[1:]})
        client.close()
        self.installation.command("tvextend", "-L", f"{SIZE}b", volume.path)
        with volume.connect() as again:
            self.assertEqual(bytes(512), again.read(SIZE - 512, 512))


class MemoryOfAll(ServerTest):
    MAXIMUM = 64 * nbd.MIB

    def setUp(self):
        super().setUp()
        current = installation.current
        current.pool("short", "256m")
        self.volume = current.volume("wanted", SIZE, pool="short")
        self.addCleanup(current.command, "tvremove", "-y", "vg0/short")
        current.command("tvchange", "--setting", "nbd.memory_maximum=64", "vg0/short")
        self.volume.activate()

    def hoards(self, client):
        """Announces a write, and goes no further."""
        client.send(nbd.request_bytes(nbd.WRITE, 0, 32 * nbd.MIB) + bytes(100))
        client.wait_until_taken()
        return client

    def deaf(self, client):
        """Asks for much, and takes nothing."""
        for _ in range(64):
            client.send(nbd.request_bytes(nbd.READ, 0, nbd.MIB))
        return client

    def test_who_holds_it_without_using_it_is_dropped_when_others_need_it(self):
        hoarding = [self.hoards(self.connect(self.volume)) for _ in range(2)]
        client = self.connect(self.volume)
        client.write(0, b"x" * 128 * KIB)
        self.assertEqual(b"x" * 128 * KIB, client.read(0, 128 * KIB))
        self.assertFalse(any(select.select([c.socket], [], [], 0)[0] for c in hoarding))
        written = self.random.randbytes(4 * nbd.MIB)
        client.write(0, written)
        self.assertTrue(written == client.read(0, len(written)))
        self.assertTrue(any(select.select([c.socket], [], [], 0)[0] for c in hoarding))

    def test_many_that_take_nothing_cost_no_more_than_it(self):
        idle = self.volume.server().resident_bytes()
        crowd = [self.deaf(self.connect(self.volume)) for _ in range(12)]
        crowd[0].wait_until_answered()
        with self.volume.connect() as client:
            for _ in range(100):
                client.write(0, bytes(64 * KIB))
        self.assertLess(self.volume.server().resident_bytes() - idle, 2 * self.MAXIMUM)
        for client in crowd:
            client.close()

    def test_those_who_use_it_take_turns(self):
        clients = [self.connect(self.volume) for _ in range(6)]
        written = self.random.randbytes(32 * nbd.MIB)
        clients[0].write(0, written)
        with concurrent.futures.ThreadPoolExecutor(len(clients)) as threads:
            read = threads.map(lambda client: client.read(0, len(written)), clients)
            self.assertTrue(all(data == written for data in read))
