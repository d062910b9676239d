"""Streams of changes, followed live: each stream is read once by a worker, for all clients that follow it."""
