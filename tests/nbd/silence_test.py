"""Clients that stay silent in the handshake.

Goal    they lose their place after a while, and those past the handshake do not.
Method  main() calls begin() before all tests and runs this module last, so that the server's time
        limit of half a minute runs out while the others work.
"""

import time

import installation
import raw_client as nbd
from installation import ServerTest

LIMIT_S = 45.0
quiet = None


class Quiet:
    def __init__(self):
        installation.current.pool("quiet", "32m")
        self.volume = installation.current.volume("silent", nbd.MIB, pool="quiet").activate()
        handshake = nbd.handshake_bytes("silent")
        self.negotiating = [self.volume.raw() for _ in range(3)]
        for client, cut in zip(self.negotiating, (0, 4, len(handshake) - 1)):
            client.greeting()
            client.send(handshake[:cut])
        self.transmitting = self.volume.connect()
        self.began = time.monotonic()


def begin():
    global quiet
    quiet = Quiet()


class SilentClients(ServerTest):
    def test_in_the_handshake_they_are_dropped_and_past_it_they_are_not(self):
        for client in quiet.negotiating:
            client.socket.settimeout(max(1.0, quiet.began + LIMIT_S - time.monotonic()))
            self.assert_dropped(client)
            client.close()
        self.assertEqual(bytes(512), quiet.transmitting.read(0, 512))
        quiet.transmitting.close()
        quiet.volume.remove()
