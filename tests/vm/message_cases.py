"""What messages.* send to a pool: each case is a state and the messages that follow in it."""

import errno

import operations as ops

# A state's features, and what is sent to a new pool to get there.
CASES = {
    "a new pool": ([], [
        "create_thin 0", "create_thin 0", "create_thin 16777215", "create_thin 16777216",
        "create_thin -1", "create_thin x", "create_thin", "create_thin 1 2", "CREATE_THIN 1",
        "create_snap 2 0", "create_snap 2 0", "create_snap 3 99", "create_snap 0 1",
        "create_snap 5 5", "create_snap 4", "create_snap 4 0 0", "create_snap 16777216 0",
        "create_snap 4 16777216", "Create_Snap 4 2",
        "delete 4", "delete 4", "delete 99", "delete 16777216", "delete", "delete 1 2",
        "set_transaction_id 0 7", "set_transaction_id 0 8", "set_transaction_id 7 7",
        "set_transaction_id 7 3", "set_transaction_id 3 18446744073709551615",
        "set_transaction_id 18446744073709551615 5", "set_transaction_id 5",
        "set_transaction_id 5 x", "set_transaction_id 5 18446744073709551616",
        "reserve_metadata_snap", "reserve_metadata_snap", "reserve_metadata_snap 1",
        "create_thin 8", "delete 0", "release_metadata_snap", "release_metadata_snap",
        "release_metadata_snap 1", "nonsense", "nonsense 1 2", "",
    ]),
    "without zeroing": (["skip_block_zeroing"], ["create_thin 0"]),
    "ignoring discards": (["ignore_discard"], ["create_thin 0"]),
    "keeping discards": (["no_discard_passdown"], ["create_thin 0", "create_snap 1 0"]),
}


def outcomes(pool_of):
    """`pool_of(features)` makes a pool with message() and status(). Lists what each message gave
    and how the pool was then."""
    found = []
    for case, (features, messages) in CASES.items():
        pool = pool_of(features)
        found.append([case, "", "", ops.without_metadata_counts(pool.status())])
        for text in messages:
            result = "ok"
            try:
                pool.message(text)
            except OSError as error:
                result = errno.errorcode[error.errno]
            found.append([case, text, result, ops.without_metadata_counts(pool.status())])
        pool.close()
    return found
