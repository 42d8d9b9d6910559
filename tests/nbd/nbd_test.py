#!/usr/bin/python3
"""End-to-end tests of the NBD server: what clients see on the wire.

    THINVOL_BIN=build/release/bin tests/nbd/nbd_test.py [-v] [-k PATTERN] [TEST...]

Goal    the handshake and every request, right or wrong, are answered as the protocol asks; no
        client can harm the server or another client.
Method  the commands in THINVOL_BIN make a pool in a temporary folder (under TMPDIR) and export
        volumes; a client that speaks the wire format by itself uses them.
        THINVOL_TEST_SEED repeats a run's random choices; it is printed at the start.
"""

import os
import random
import signal
import sys
import unittest

import access_test
import handshake_test
import installation
import limits_test
import replies_test
import shutdown_test
import silence_test
import tls_test
import transmission_test

# The last one waits for a limit that runs out while the others work.
MODULES = (handshake_test, transmission_test, replies_test, shutdown_test, tls_test,
           access_test, limits_test, silence_test)


def load_tests(loader, _tests, _pattern):
    return unittest.TestSuite(loader.loadTestsFromModule(module) for module in MODULES)


def main():
    bin_dir = os.environ.get("THINVOL_BIN", "")
    if not os.access(os.path.join(bin_dir, "tvchange"), os.X_OK):
        sys.exit("THINVOL_BIN must name the folder of the commands")
    seed = int(os.environ.get("THINVOL_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"THINVOL_TEST_SEED={seed}", file=sys.stderr, flush=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("ended by a signal"))
    # Not by way of `with`: close() has folders to remove even when begin() fails.
    installation.current = installation.Installation(bin_dir, seed)
    try:
        installation.current.begin()
        silence_test.begin()
        program = unittest.main(exit=False)
        installation.current.judge()
    finally:
        installation.current.close()
    sys.exit(0 if program.result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
