"""The systems that are compared, in the order of their turns."""

from bench.compare.system import System
from bench.compare.systems.bare import Bare
from bench.compare.systems.kinto import Kinto
from bench.compare.systems.polystow import FastPath, OrdinaryPath
from bench.compare.systems.raw import RawRedis
from bench.compare.systems.webdis import Webdis

SYSTEMS: tuple[type[System], ...] = (FastPath, Webdis, Bare, OrdinaryPath, Kinto, RawRedis)
SUBJECT = FastPath.name  # whose ratios are taken
