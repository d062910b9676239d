"""Bounds that keep every script below 5 ms of Redis's time, for all inputs (lua/README.md)."""

INLINE_BYTES = 32_000  # a larger body is sent ahead to a staging key, because scripts copy their arguments
MERGE_BYTES = 32_000  # of document and patch together; a longer merge is done in the worker
MERGE_LAST = MERGE_BYTES + 255  # last byte of a record that a merge reads: the longest header, and the body
DISCARDED = 100  # records in one discard: 45 us for each in five indexes of 1,000,000
MERGE_STEPS = 10_000  # scanning steps of a merge in Redis, at most 2 ms
BATCH_BYTES = 1_000_000  # bytes of the documents of one batch, and of records that a batch reads at a time
