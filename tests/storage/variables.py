"""A collection of variables for tests, and functions that read it from Redis without the code under test."""

from service.storage import keys
from service.storage.access.grants import Grants
from service.storage.scripts.runner import Runner
from service.storage.variables.variables import Filter, Variable, Variables
from tests.servers import RedisProcess

AGENT = keys.collection("avaamo", "agents", "8017", "")
OTHER = keys.collection("avaamo", "agents", "8018", "")
SHORT = 32  # members of the longest list that is one text
FEW = {keys.variables(AGENT), keys.names(AGENT), keys.newest(AGENT), keys.lists(AGENT)}  # while all lists are short
DATA = {*FEW, keys.listing(AGENT)}
GRANTED = {AGENT.acl, keys.REVISION}
NUMBERS = keys.variable("avaamo")
EDITOR, VIEWER, STRANGER = "editor", "viewer", "stranger"


async def opened(runner: Runner) -> Variables:
    """The operations, with an agent that an editor may write and a viewer read."""
    grants = Grants(runner)
    await grants.grant(AGENT, {EDITOR: "rw", VIEWER: "r"}, await grants.revise())
    return Variables(runner)


async def listed(variables: Variables, **by: object) -> list[Variable]:
    """Up to a hundred variables that a filter selects; the total is theirs."""
    total, found = await variables.select(AGENT, VIEWER, Filter(**by), 0, 100)  # type: ignore[arg-type]
    assert total == len(found)
    return found


def names(redis: RedisProcess) -> set[str]:
    """Every key."""
    return {key.decode() for key in redis.command("KEYS", "*")}


def members(redis: RedisProcess) -> int:
    """Return the members of all lists in Redis."""
    texts = redis.command("HVALS", keys.lists(AGENT))
    return sum(int.from_bytes(each, "big") if len(each) == 6 else len(each) // 13 for each in texts)
