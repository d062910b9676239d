"""Polystow: four vendors' storage APIs, wire-compatible, served from one core on Redis.

Invariant: importing this package imports nothing else, so a build can read the version.
"""

__version__ = "0.2.0"
