"""The load test: `locust -f bench/locustfile.py`, from the root of the checkout. README.md has the rest.

Locust uses all user and shape classes in this module; options and gates register themselves.
"""

from bench import gates, options
from bench.shapes import Shape
from bench.users import discover

__all__ = ["Shape", "gates", "options"]

globals().update(discover())
