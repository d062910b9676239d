"""Rules for schemathesis that OpenAPI cannot express."""

from typing import Any

import schemathesis

from tests.openapi.sequences import use_keys_once


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    use_keys_once(case)


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    # The vendor names one segment `{ttl}` in one place and `{id}` or `{key}` in another. These are two templates for
    # OpenAPI, but one path for HTTP, whose `Allow` has the methods of both.
    if response.request.method == "OPTIONS":
        response.headers.pop("allow", None)
