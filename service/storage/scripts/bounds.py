"""Bounds by which no script holds Redis for more than 5 ms, whatever it is sent (lua/README.md)."""

INLINE_BYTES = 32_000  # a larger body goes ahead to a staging key: a script copies its arguments
MERGE_BYTES = 32_000  # a longer document and patch, together, are merged in the worker
DISCARDED = 100  # records in one discard: 45 us for each in five indexes of 1,000,000
MERGE_STEPS = 10_000  # scanning steps of a merge in Redis, at most 2 ms
