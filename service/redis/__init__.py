"""The Redis client: pipelined lanes to the nodes of a Redis, and the embedded Redis, which runs if no URL is given.

Invariant: nothing here knows which data is stored. This package imports no other part of `service`.
"""
