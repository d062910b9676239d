"""Streams of changes, followed live: a worker reads each stream once for all clients that follow it."""
