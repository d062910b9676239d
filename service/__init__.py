"""Polystow: four vendors' storage APIs, wire-compatible, served from one core on Redis.

Invariant: importing this package imports nothing else, so that the version can be read by a build.
"""

__version__ = "0.2.0"
