"""The engine's part of a comparison: a pool of `thinvol pool', with device_mapper.Pool's words.

A failed call raises OSError with the kernel's number, which the command names.
"""

import errno
import os
import subprocess

PROGRAM = os.path.join(os.environ["THINVOL_BIN"], "thinvol")
NUMBERS = {os.strerror(number): number for number in errno.errorcode}


class EnginePool:
    def __init__(self, directory, metadata_blocks, data_blocks, block_sectors, features=()):
        self.images = [os.path.join(directory, part) for part in ("metadata", "data")]
        self.features = [word for feature in features for word in ("--feature", feature)]
        for path, size in zip(self.images, (metadata_blocks * 4096,
                                            data_blocks * block_sectors * 512)):
            with open(path, "wb") as file:
                file.truncate(size)
        self.run("create", options=["--chunksize", f"{block_sectors}s"])

    def run(self, action, *words, options=(), data=b""):
        done = subprocess.run([PROGRAM, "pool", *options, *self.features, "--", action,
                               *self.images, *map(str, words)], input=data, capture_output=True)
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.decode()
        for text, number in NUMBERS.items():
            if f"{action}: {text}: " in said:
                raise OSError(number, said.strip())
        raise RuntimeError(f"{action} {words}: {said}")

    def message(self, text):
        self.run("message", *text.split())

    def status(self, thin_id=None):
        words = [] if thin_id is None else [thin_id]
        return self.run("status", *words).decode().strip()

    def write(self, thin_id, offset, data):
        self.run("write", thin_id, options=["--offset", f"{offset}b"], data=data)

    def read(self, thin_id, offset, length):
        return self.run("read", thin_id, options=["--offset", f"{offset}b", "--size",
                                                  f"{length}b"])

    def discard(self, thin_id, offset, length):
        self.run("discard", thin_id, options=["--offset", f"{offset}b", "--size", f"{length}b"])
