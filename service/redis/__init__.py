"""The way to Redis: pipelined lanes to its nodes, and the server that is started when none is given.

Invariant: nothing here knows what is stored; this package imports nothing of `service` but itself.
"""
