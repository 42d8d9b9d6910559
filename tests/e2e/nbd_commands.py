#!/usr/bin/python3
"""Every command and every error, as libnbd sees them: URI of a writable export, of a read-only one.

libnbd checks replies against the protocol by itself, with its own checks of requests switched off
where the server's answer to a wrong one is what matters.
"""

import errno
import sys

import nbd

MIB = 1 << 20
CONTEXTS = (nbd.CONTEXT_BASE_ALLOCATION, "x-thinvol:sharing")


def connect(uri, structured=True, contexts=CONTEXTS):
    handle = nbd.NBD()
    handle.set_request_structured_replies(structured)
    handle.set_strict_mode(0)
    for context in contexts:
        handle.add_meta_context(context)
    handle.connect_uri(uri)
    return handle


def refused(number, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except nbd.Error as error:
        assert error.errnum == number, f"{call.__name__}: {error}, expected {number}"
        return
    raise AssertionError(f"{call.__name__}{arguments} succeeded")


def states(handle, length, offset, flags=0):
    told = {}
    handle.block_status(length, offset,
                        lambda context, at, entries, error: told.update({context: entries}), flags)
    return told


def right_requests(handle, size):
    handle.zero(size, 0)
    handle.pwrite(b"x" * MIB, MIB)
    handle.pwrite(b"y" * 512, 5, nbd.CMD_FLAG_FUA)
    assert handle.pread(512, 5) == b"y" * 512
    assert handle.pread(2, MIB - 1) == b"\0x"
    handle.cache(MIB, MIB)
    handle.flush()
    handle.zero(4096, MIB, nbd.CMD_FLAG_NO_HOLE)
    handle.zero(MIB - 65536, MIB + 65536, nbd.CMD_FLAG_FAST_ZERO)
    handle.trim(65536, MIB, nbd.CMD_FLAG_FUA)
    assert handle.pread(MIB, MIB) == bytes(MIB)
    handle.pwrite(b"z" * 65536, 2 * MIB)


def chunks_of_a_read(handle):
    seen = []
    handle.pread_structured(MIB, MIB + MIB // 2,
                            lambda data, at, status, error: seen.append((len(data), at, status)))
    assert seen == [(MIB // 2, MIB + MIB // 2, nbd.READ_HOLE),
                    (65536, 2 * MIB, nbd.READ_DATA),
                    (MIB // 2 - 65536, 2 * MIB + 65536, nbd.READ_HOLE)], seen
    seen.clear()
    handle.pread_structured(MIB, MIB + MIB // 2,
                            lambda data, at, status, error: seen.append(status),
                            nbd.CMD_FLAG_DF)
    assert seen == [nbd.READ_DATA], seen


def wrong_requests(handle, size):
    refused(errno.EINVAL, handle.pread, 1, size)
    refused(errno.ENOSPC, handle.pwrite, b"x", size)
    refused(errno.ENOSPC, handle.zero, 2, size - 1)
    refused(errno.EINVAL, handle.trim, 2, size - 1)
    refused(errno.EINVAL, handle.cache, 2, size - 1)
    refused(errno.EINVAL, handle.block_status, 2, size - 1, lambda *_: 0)
    refused(errno.EINVAL, handle.pread, 33 * MIB, 0)
    refused(errno.EINVAL, handle.pwrite, bytes(33 * MIB), 0)
    refused(errno.EOVERFLOW, handle.pread_structured, 33 * MIB, 0, lambda *_: 0,
            nbd.CMD_FLAG_DF)
    refused(errno.ENOTSUP, handle.zero, 1, 2 * MIB, nbd.CMD_FLAG_FAST_ZERO)
    refused(errno.EINVAL, handle.trim, 1, 0, nbd.CMD_FLAG_NO_HOLE)
    assert handle.pread(2, 2 * MIB) == b"zz"


def main():
    writable, read_only = sys.argv[1:]
    handle = connect(writable)
    size = handle.get_size()
    assert handle.get_structured_replies_negotiated()
    right_requests(handle, size)
    chunks_of_a_read(handle)
    wrong_requests(handle, size)
    assert states(handle, MIB, 2 * MIB) == {
        CONTEXTS[0]: [65536, 0, MIB - 65536, nbd.STATE_HOLE | nbd.STATE_ZERO],
        CONTEXTS[1]: [65536, 0, MIB - 65536, 1]}
    assert states(handle, MIB, 2 * MIB, nbd.CMD_FLAG_REQ_ONE)[CONTEXTS[0]] == [65536, 0]
    simple = connect(writable, structured=False, contexts=())
    assert not simple.get_structured_replies_negotiated() and not simple.can_df()
    assert simple.pread(65537, 2 * MIB) == b"z" * 65536 + b"\0"
    refused(errno.EINVAL, simple.block_status, MIB, 0, lambda *_: 0)
    fixed = connect(read_only)
    assert fixed.is_read_only()
    refused(errno.EPERM, fixed.pwrite, b"x", 0)
    refused(errno.EPERM, fixed.trim, 512, 0)
    refused(errno.EPERM, fixed.zero, 512, 0)
    assert fixed.pread(512, 0) == bytes(512)
    for one in (handle, simple, fixed):
        one.shutdown()


main()
