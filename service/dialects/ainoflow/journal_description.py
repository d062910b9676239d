"""Descriptions of the routes of the journal for the OpenAPI document, each under the name of its handler."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field

from service.api.description import Content, Description
from service.api.following import EVENT_STREAM
from service.dialects.ainoflow import description, shapes
from service.dialects.ainoflow.shapes import encode
from service.storage import errors

FIRST, SECOND = "1705314600000-0", "1705328400000-0"
Limit = Annotated[int, Meta(ge=1, le=1000, description="Most changes in the answer; it has fewer if they are long.")]
Since = Annotated[
    str,
    Meta(
        pattern=f"^(|now|oldest|{shapes.CURSOR})$",
        description="The cursor after which the changes begin; `oldest`, or empty: all that are kept; `now`: none, "
        "but `next`.",
        examples=["now"],
    ),
]
Wait = Annotated[
    int, Meta(ge=0, le=60, description="If there is no change, wait for one, so many seconds at most.", examples=[0])
]
LastEvent = Annotated[
    str,
    Meta(description="With `Accept: text/event-stream`: the id of the last event that the client has; before `since`."),
]
Before = Annotated[
    str,
    Meta(
        pattern=f"^(|{shapes.CURSOR})$",
        description="The cursor before which the changes end: `next` of the page before; empty: the newest.",
    ),
]


class Feed(Struct):
    since: Since | UnsetType = UNSET
    limit: Limit = 100
    wait: Wait = 0


class Resumed(Struct):
    last: LastEvent | UnsetType = field(name="Last-Event-ID", default=UNSET)


class Looking(Struct):
    limit: Limit = 50
    before: Before | UnsetType = UNSET


CREATED = {
    "cursor": FIRST,
    "op": "create",
    "key": "inv-12345",
    "version": 1,
    "etag": "9bb58f26192e4ba00f01e2e7b136bbd8",
    "at": "2024-01-15T10:30:00Z",
    "by": "api_key_123",
}
Events = Annotated[
    str,
    Meta(
        description="Server-sent events (WHATWG HTML, section 9.2). One named `change` has one change of the schema "
        "`Change` in its `data` and the change's cursor in its `id`. One named `heartbeat` comes after 15 s without "
        "another; its `data` is `{}`, and its `id` is the newest cursor that the client has."
    ),
]

DELETED = CREATED | {"cursor": SECOND, "op": "delete", "at": "2024-01-15T14:20:00Z"}

EVENTS = (
    f"event: change\nid: {SECOND}\ndata: {encode(DELETED).decode()}\n\nevent: heartbeat\nid: {SECOND}\ndata: {{}}\n\n"
)
STREAM = Content(
    "With `Accept: text/event-stream`: these changes as events, and then each one that is made.",
    Events,
    (EVENT_STREAM,),
    {"a change, and a heartbeat after 15 s": EVENTS},
)

changes = Description(
    {
        200: Content(
            "Changes of the category, oldest first.",
            shapes.Changes,
            examples={
                "changes": {
                    "category": "invoices",
                    "changes": [CREATED | {"value": description.INVOICE}, DELETED],
                    "next": SECOND,
                    "more": False,
                }
            },
            other=(STREAM,),
        )
    },
    query=Feed,
    headers=Resumed,
    refuses=(errors.NoJournal, errors.Trimmed, errors.UnknownCursor),
)

history = Description(
    {
        200: Content(
            "Changes of the document, newest first.",
            shapes.History,
            examples={
                "history": {
                    "category": "invoices",
                    "key": "inv-12345",
                    "changes": [DELETED, CREATED | {"size": 256}],
                    "next": None,
                }
            },
        )
    },
    query=Looking,
    refuses=(errors.NoJournal,),
)

past = Description(
    {
        200: Content(
            "The document as it was.",
            description.Json,
            examples={"invoice": description.INVOICE},
            headers=description.Validators,
        ),
        304: Content("The client has this document.", headers=description.Validators),
    },
    headers=description.Cached,
    refuses=(errors.NoJournal, errors.NotFound),
)

restore = Description(
    {200: description.WRITTEN},
    headers=description.Condition,
    refuses=(errors.TooLarge, errors.QuotaExceeded, errors.NoJournal, errors.NotFound, errors.Changed),
)
