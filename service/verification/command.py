"""The command `polystow verify`: verifies a server, and prints the outcome for people and, as JSON, for programs."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from aiohttp import ClientSession

from service import dialects
from service.remote import target
from service.remote.client import Remote, Unreachable
from service.settings import BadSetting
from service.verification.conversations import shipped
from service.verification.leftovers import Unusable
from service.verification.replay import Verification, basic, values, verify


async def run(
    dialect: str, against: str, token_env: str | None, environ: Mapping[str, str], *, beyond: bool, report: str | None
) -> int:
    """Verify a server, print the outcome, and return the exit status. Raises BadSetting for wrong arguments."""
    names = [each.name for each in dialects.discover()]
    if dialect not in names:
        raise BadSetting(f"DIALECT must be one of {', '.join(names)}, not {dialect!r}")
    base, token = target.base_url("--against", against), target.token(token_env, environ)
    if not token and dialect != "genesys":
        raise BadSetting(f"--token-env: {dialect} needs a credential; name the environment variable that holds it")
    prefix = f"{token_env}_"
    more = {name.removeprefix(prefix).lower(): value for name, value in environ.items() if name.startswith(prefix)}
    headers = basic(token) if token and dialect == "genesys" else {}
    async with ClientSession() as http:
        try:
            paths = shipped(dialect, beyond=beyond)
            outcome = await verify(dialect, Remote(http, base, headers), paths, values(token, base, more))
        except Unusable as error:
            raise BadSetting(f"{base}: {error}") from error
        except Unreachable as error:
            print(f"polystow: {error}", file=sys.stderr)
            return 1
    _print(outcome, token_env, report)
    return 1 if outcome.findings else 0


def _print(outcome: Verification, token_env: str | None, report: str | None) -> None:
    out = sys.stderr if report == "-" else sys.stdout
    for finding in outcome.differing:
        print(f"{finding.conversation}:{finding.line} {finding.title}\n  {finding.method} {finding.path}", file=out)
        for each in finding.differences:
            print(f"  {each.part}\n    - {each.expected}\n    + {each.got}", file=out)
    for finding in outcome.unsent:
        lacked = ", ".join(f"{{{{{name}}}}}" for name in finding.lacks)
        print(
            f"{finding.conversation}:{finding.line} {finding.title}\n  not sent: the value of {lacked} is missing",
            file=out,
        )
    if outcome.missing:
        wanted = ", ".join(f"{token_env}_{name.upper()}" for name in outcome.missing)
        print(f"Set the missing values as environment variables: {wanted}", file=out)
    went = outcome.exchanges - len(outcome.findings)
    print(
        f"{outcome.dialect} at {outcome.against}: {outcome.conversations} conversations, "
        f"{outcome.exchanges} exchanges: {went} as written, {len(outcome.differing)} different, "
        f"{len(outcome.unsent)} not sent",
        file=out,
    )
    if report:
        text = json.dumps(asdict(outcome) | {"as_written": went}, indent=2) + "\n"
        if report == "-":
            sys.stdout.write(text)
        else:
            Path(report).write_text(text)
