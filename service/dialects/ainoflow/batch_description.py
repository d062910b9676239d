"""The description of the route of batches for the OpenAPI document."""

from service.api.description import Content, Description
from service.dialects.ainoflow import batch_shapes as shapes
from service.storage import errors

OPERATIONS = {
    "operations": [
        {"op": "create", "key": "a", "value": {"n": 1}},
        {"op": "put", "key": "b", "value": [1, 2], "expiresMs": 60000},
        {"op": "patch", "key": "a", "value": {"x": 2}},
        {"op": "delete", "key": "b", "ifMatch": "*"},
    ]
}
RESULT = {
    "op": "create",
    "category": "invoices",
    "key": "a",
    "version": 1,
    "etag": "9bb58f26192e4ba00f01e2e7b136bbd8",
    "expiresAt": None,
}

batch = Description(
    {
        200: Content(
            "All operations were carried out.",
            shapes.Done,
            examples={
                "results": {
                    "category": "invoices",
                    "results": [RESULT, {"op": "delete", "category": "invoices", "key": "b"}],
                }
            },
        )
    },
    body=Content("1 to 100 operations, 1,000,000 bytes at most.", shapes.Batch, examples={"operations": OPERATIONS}),
    refuses=(
        errors.TooLarge,
        errors.QuotaExceeded,
        errors.NotFound,
        errors.AlreadyExists,
        errors.Changed,
    ),
)
