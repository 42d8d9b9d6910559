#!/usr/bin/python3
"""How much of its speed a client keeps beside clients that only take up room.

    tests/security/greedy_clients.py [--budget SECONDS] [--seed N]       with THINVOL_BIN set

Goal    S59b: hundreds of clients that stay silent in the handshake, send a byte now and then, begin
        payloads that never end, do not take their answers, or come and go, leave a client that
        works at least 80 % of its speed, and the server within bounded memory.
Method  one client reads 64 KiB at a time; what a read costs the server's thread in processor time,
        which other programs do not disturb, alone and beside the crowd, in turn. The crowd is
        another process. The last line is `executed distinct value`: requests of the client, kinds
        of trouble, and the percentage of its speed that it keeps, of the median round.
"""

import argparse
import os
import pathlib
import signal
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "nbd"))
import installation  # noqa: E402
import raw_client as nbd  # noqa: E402

CROWD = {"silent": 300, "trickling": 100, "payload": 100, "deaf": 40, "passing": 0}
READ_BYTES = 64 << 10
RESIDENT_MAX = 640 << 20  # 256 MiB of all clients together, 256 KiB of each, and what is kept
LEAST_PERCENT = 80
WARM_UP, READS = 200, 2000


def silent(volume):
    client = volume.raw()
    client.greeting()
    return client


def payload(volume):
    client = volume.connect()
    client.send(nbd.request_bytes(nbd.WRITE, 0, nbd.MIB) + bytes(100))
    return client


def deaf(volume):
    client = volume.connect()
    client.send(nbd.request_bytes(nbd.READ, 0, nbd.MIB) * 20)
    return client


def be_crowd(volume, ready):
    """Until it is killed."""
    os.setpriority(os.PRIO_PROCESS, 0, 10)  # it is the server's time that counts
    kept = [silent(volume) for _ in range(CROWD["silent"])]
    kept += [payload(volume) for _ in range(CROWD["payload"])]
    kept += [deaf(volume) for _ in range(CROWD["deaf"])]
    trickling = [volume.raw() for _ in range(CROWD["trickling"])]
    words = nbd.handshake_bytes(volume.name)
    os.write(ready, b"x")
    for byte in words[:-1]:
        for client in trickling:
            client.send(bytes([byte]))
            time.sleep(0.002)
        volume.raw().close()
    signal.pause()


def server_ns(volume):
    """Processor time of the thread that serves."""
    schedule = pathlib.Path(f"/proc/{volume.server().pid}/schedstat").read_text()
    return int(schedule.split()[0])


def cost_of(volume, client, reads):
    before = server_ns(volume)
    for n in range(reads):
        client.read(n % 64 * READ_BYTES, READ_BYTES)
    return server_ns(volume) - before


def round_of(volume, client):
    cost_of(volume, client, WARM_UP)
    alone = cost_of(volume, client, READS)
    ready, told = os.pipe()
    crowd = os.fork()
    if crowd == 0:
        try:
            be_crowd(volume, told)
        finally:
            os._exit(1)
    os.close(told)
    if os.read(ready, 1) != b"x":
        raise AssertionError("the crowd did not get in")
    os.close(ready)
    beside = cost_of(volume, client, READS)
    resident = volume.server().resident_bytes()
    os.kill(crowd, signal.SIGKILL)
    os.waitpid(crowd, 0)
    volume.wait_for_clients(1)
    if resident > RESIDENT_MAX:
        raise AssertionError(f"the server has {resident >> 20} MiB in memory")
    return alone, beside


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    end = time.monotonic() + options.budget
    home = installation.Installation(os.environ["THINVOL_BIN"], options.seed)
    try:
        home.begin()
        volume = home.volume("v", 64 * nbd.MIB).activate()
        client = volume.connect()
        client.write(0, bytes(range(256)) * (4 * nbd.MIB // 256))
        rounds = []
        while len(rounds) < 3 or time.monotonic() < end:
            rounds.append(round_of(volume, client))
        client.close()
    finally:
        home.close()
    percent = round(100 * statistics.median(alone / beside for alone, beside in rounds))
    print(len(rounds) * 2 * READS, len(CROWD), min(percent, 100))
    if percent < LEAST_PERCENT:
        print(f"beside the crowd it keeps {percent} %", file=sys.stderr)
        sys.exit(1)


main()
