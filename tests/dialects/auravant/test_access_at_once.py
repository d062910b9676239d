"""Tests that permissions follow from what is declared if documents are applied concurrently, slowly or incompletely."""

import asyncio
from typing import Any

import pytest

from service.dialects.auravant.grants import CIRCLES, readable
from service.redis.errors import Unanswered
from service.redis.pending import Command
from service.storage.access.directory import Directory
from service.storage.errors import OutcomeUnknown, Unavailable
from service.storage.root import Storage
from tests.dialects.auravant.applying import Applying


async def test_documents_applied_at_once_leave_each_resource_as_one_of_them_says(access: Applying) -> None:
    """At every moment, each grant has its link."""
    ids = [f"f{n}" for n in range(30)]
    for _ in range(10):
        who = [{"u1": "owner"}, {"u2": "read"}, {"admin": "edit", "u1": "read"}]
        others = [Applying(access.server) for _ in who]
        for other in others:
            await other.redis.connect()
        await asyncio.gather(
            *(
                other.apply(
                    fields=[{"id": id, "permissions": permissions} for id in ids],
                    spaces=[{"id": "s", "admins": [*permissions][:1], "members": ["boss"]}],
                )
                for other, permissions in zip(others, who, strict=True)
            )
        )
        for other in others:
            await other.redis.close()
        directory = Directory(access.runner)
        for id in ids:
            declared = await directory.find_entry("auravant", "fields", id)
            assert declared in who
            granted = access.granted("fields", id)
            assert granted is not None
            assert set(granted) == set(declared)
            for user in granted:
                assert id in await access.linked(readable("fields"), user)
        space = await directory.find_entry("auravant", "leaders", "space:s")
        assert set(access.leaders("boss")) == set(space or {})


async def test_a_slow_apply_never_restores_what_a_later_one_removed(
    access: Applying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One apply pauses after it has read the declarations. Meanwhile a revocation is applied and answered."""
    await access.apply(fields=[{"id": 1, "permissions": {"u1": "owner"}}])
    slow, reached, later = Applying(access.server), asyncio.Event(), asyncio.Event()
    await slow.redis.connect()
    grant = slow.storage.grants.grant
    tries = 0

    async def late(*arguments: Any) -> list[str]:
        nonlocal tries
        tries += 1
        if tries == 1:
            reached.set()
            await later.wait()
        return await grant(*arguments)

    monkeypatch.setattr(slow.storage.grants, "grant", late)
    task = asyncio.create_task(slow.apply(fields=[{"id": 1, "permissions": {"u1": "owner", "u2": "read"}}]))
    await reached.wait()
    await access.apply(fields=[{"id": 1, "permissions": {"u2": "read"}}])
    assert access.granted("fields", "1") == {"u2": "r"}
    later.set()
    await task
    await slow.redis.close()
    assert tries == 2
    assert access.granted("fields", "1") == {"u2": "r"}
    assert await access.linked(readable("fields"), "u2") == ["1"]


@pytest.mark.parametrize("document", ["widening", "narrowing", "removing"])
async def test_the_next_apply_repairs_one_that_stopped_anywhere(
    access: Applying, document: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An apply is stopped before each of its commands in turn. No link is missing, and the next apply completes it."""
    first = {
        "fields": [{"id": 1, "permissions": {"u1": "owner", "u2": "read"}}],
        "spaces": [{"id": "s", "admins": ["admin"], "members": ["u1", "u2"]}],
    }
    second: dict[str, Any] = {
        "widening": {
            "fields": [{"id": 1, "permissions": {"u1": "owner", "u2": "read", "boss": "edit"}}],
            "spaces": [{"id": "s", "admins": ["admin", "boss"], "members": ["u1", "u2", "boss"]}],
        },
        "narrowing": {
            "fields": [{"id": 1, "permissions": {"u2": "read"}}],
            "spaces": [{"id": "s", "admins": ["boss"], "members": ["u2"]}],
        },
        "removing": {"fields": [{"id": 1, "remove": True}], "spaces": [{"id": "s", "remove": True}]},
    }[document]

    async def state() -> tuple[Any, ...]:
        who = ("u1", "u2", "boss", "admin")
        fields = [await access.linked(readable("fields"), user) for user in who]
        circles = [await access.linked(CIRCLES, user) for user in who]
        members = await access.linked("members", "space:s")
        return (access.granted("fields", "1"), [access.leaders(user) for user in who], circles, members, fields)

    await access.apply(**first)
    await access.apply(**second)
    wanted, left, send = await state(), 0, access.redis.send
    while True:
        await access.apply(**first)
        with monkeypatch.context() as patch:
            budget = left

            def until(command: Command) -> None:
                nonlocal budget
                if command.write and budget == 0:
                    command.outcome.set_exception(Unanswered("it was killed"))
                else:
                    budget -= bool(command.write)
                    send(command)

            patch.setattr(access.redis, "send", until)
            try:
                await access.apply(**second)
            except OutcomeUnknown:
                finished = False
            else:
                finished = True
        granted = access.granted("fields", "1") or {}
        for user in granted:
            assert "1" in await access.linked(readable("fields"), user), left
        await access.apply(**second)
        *exact, fields = await state()
        assert exact == [*wanted[:-1]], left
        assert all(set(links) <= set(found) for links, found in zip(wanted[-1], fields, strict=True)), left
        if finished:
            break
        left += 1
    assert left > 5


async def test_a_large_document_is_applied_in_portions(access: Applying) -> None:
    fields = [{"id": n, "permissions": {"u1": "owner", f"v{n % 50}": "read"}} for n in range(5000)]
    members = [f"m{n}" for n in range(2000)]
    await access.apply(fields=fields, users=members, spaces=[{"id": "s", "admins": ["admin"], "members": members}])
    assert len(await access.linked(readable("fields"), "u1")) == 5000
    assert len(await access.linked(readable("fields"), "v7")) == 100
    assert access.leaders("m1999") == {"admin": "drw"}


async def test_too_many_applies_at_once_end_with_a_message(access: Applying, monkeypatch: pytest.MonkeyPatch) -> None:
    """The revision is always outdated, because another apply is faster."""
    grant, revise = access.storage.grants.grant, Storage(access.runner).grants.revise

    async def outrun(collection: Any, verbs: Any, revision: int) -> list[str]:
        await Storage(access.runner).grants.grant(collection, verbs, await revise())
        return await grant(collection, verbs, revision)

    monkeypatch.setattr(access.storage.grants, "grant", outrun)
    with pytest.raises(Unavailable, match="apply this document again"):
        await access.apply(fields=[{"id": 1, "permissions": {"u1": "owner"}}])
