"""Runs the Lua splice in a real redis-server, with many cases in one call."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from service.storage.scripts import library

PLENTY = 10**9  # steps

SOURCE = """
local budget = ARGV[1] -- steps
--- @include splice
local results = {}
for i = 2, #ARGV, 2 do results[#results + 1] = splice(ARGV[i], ARGV[i + 1], tonumber(budget)) or false end
return results
"""

# Replies the least budget that gives the text ARGV[3]; errors if a budget, least or larger, gives another text.
SWEEP = """
local target = ARGV[1]
local patch = ARGV[2]
local wanted = ARGV[3]
--- @include splice
local least
for budget = 0, 20000 do
  local result = splice(target, patch, budget)
  if result and result ~= wanted then return redis.error_reply('WRONG with ' .. budget .. ' steps: ' .. result) end
  if least and not result then return redis.error_reply('NONE with ' .. budget .. ' steps') end
  least = least or result and budget
  if least and budget > least + 100 then return least end
end
return redis.error_reply('NONE')
"""


def composed(source: str) -> str:
    with TemporaryDirectory() as directory:
        Path(directory, "include").symlink_to(library.folder() / "include")
        Path(directory, "case.lua").write_text(source)
        return library.load(Path(directory)).scripts["case"].text


class Script:
    def __init__(self, socket: Path) -> None:
        self.client = redis.Redis(unix_socket_path=str(socket))
        self._splice = self.client.register_script(composed(SOURCE))
        self._sweep = self.client.register_script(composed(SWEEP))

    def splice(self, pairs: Sequence[tuple[str, str]], budget: int = PLENTY) -> list[str | None]:
        """The result of each (target, patch), None where the budget did not suffice."""
        texts = [text for pair in pairs for text in pair]
        replies: list[bytes | None] = self._splice(args=[budget, *texts])
        return [None if reply is None else reply.decode() for reply in replies]

    def least_budget(self, target: str, patch: str, result: str) -> int:
        steps: int = self._sweep(args=[target, patch, result])
        return steps
