"""Rules for schemathesis that OpenAPI cannot express."""

from typing import Any

import schemathesis

from tests.openapi.sequences import use_keys_once


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    use_keys_once(case)
