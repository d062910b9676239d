"""Tests signed policies: exactly what was signed is accepted until it expires, and everything else is refused.

The approach is that of S3's POST policies. Each rule of their documentation is tested.
"""

import json
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.api.signing import Signer, stored_key
from service.storage.errors import Denied

KEY, OTHER = "k" * 32, "o" * 40
FIELDS = {
    "resource": "fields/12345",
    "key": "é ext_photo",
    "generation": "7",
    "Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg==",
}


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signer(clock: Clock) -> Signer:
    return Signer([KEY], clock)


def test_a_signed_permission_is_valid_until_it_expires(signer: Signer, clock: Clock) -> None:
    shown = signer.sign("upload", FIELDS, seconds=10, bytes=10_485_760)
    assert FIELDS.items() <= shown.items()
    for clock.now in (1_700_000_000.0, 1_700_000_009.999):
        found = signer.verify("upload", shown)
        assert (found.fields, found.bytes) == (FIELDS, 10_485_760)
    for clock.now in (1_700_000_010.0, 1_700_000_011.0, 1_800_000_000.0):
        with pytest.raises(Denied, match="expired"):
            signer.verify("upload", shown)


def test_every_field_is_covered_by_the_signature(signer: Signer) -> None:
    shown = signer.sign("upload", FIELDS, seconds=10)
    for name in shown:
        with pytest.raises(Denied):
            signer.verify("upload", {**shown, name: shown[name] + "x"})
        with pytest.raises(Denied):
            signer.verify("upload", {**shown, name: ""})
        with pytest.raises(Denied):
            signer.verify("upload", {key: text for key, text in shown.items() if key != name})
    with pytest.raises(Denied, match="'acl' is not covered"):
        signer.verify("upload", {**shown, "acl": "public"})
    with pytest.raises(Denied, match="another kind of request"):
        signer.verify("download", shown)
    with pytest.raises(Denied, match="are needed"):
        signer.verify("upload", FIELDS)


def test_every_character_of_policy_and_signature_counts(signer: Signer) -> None:
    shown = signer.sign("upload", FIELDS, seconds=10)
    for name in ("policy", "signature", "key-id"):
        text = shown[name]
        for at in range(len(text)):
            changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
            for tampered in (
                changed,
                text[:at] + text[at + 1 :],
                text[:at] + "=" + text[at:],
                text[:at] + "\n" + text[at:],
            ):
                with pytest.raises(Denied):
                    signer.verify("upload", {**shown, name: tampered})


def test_a_policy_signed_with_another_key_is_refused(signer: Signer) -> None:
    shown = signer.sign("upload", FIELDS, seconds=10)
    policy = shown["policy"]
    document = json.loads(urlsafe_b64decode(policy + "=" * (-len(policy) % 4)))
    changes: list[dict[str, object]] = [{"expires": 9e15}, {"bytes": 1 << 40}, {"purpose": "download"}, {"fields": {}}]
    for change in changes:
        forged = urlsafe_b64encode(json.dumps(document | change).encode()).decode().rstrip("=")
        with pytest.raises(Denied, match="signature is wrong"):
            signer.verify("upload", {**shown, "policy": forged})
    with pytest.raises(Denied, match="signature is wrong"):
        signer.verify("upload", {**shown, "signature": shown["signature"].upper()})


def test_signatures_cannot_be_moved_from_one_permission_to_another(signer: Signer) -> None:
    mine = signer.sign("upload", FIELDS, seconds=10)
    yours = signer.sign("upload", FIELDS | {"resource": "fields/777"}, seconds=10)
    for part in ({"policy"}, {"signature"}, {"policy", "signature"}, {"resource"}):
        with pytest.raises(Denied):
            signer.verify("upload", mine | {name: yours[name] for name in part})


def test_keys_are_rotated_without_a_gap(clock: Clock) -> None:
    before, during, after = Signer([KEY], clock), Signer([OTHER, KEY], clock), Signer([OTHER], clock)
    old, new = before.sign("x", {}, seconds=10), during.sign("x", {}, seconds=10)
    during.verify("x", old)
    during.verify("x", new)
    after.verify("x", new)
    with pytest.raises(Denied, match="unknown or no longer accepted"):
        after.verify("x", old)
    with pytest.raises(Denied, match="unknown or no longer accepted"):
        before.verify("x", new)
    with pytest.raises(Denied, match="signature is wrong"):
        during.verify("x", old | {"key-id": new["key-id"]})
    assert KEY not in str(old)


@pytest.mark.parametrize("keys", [[], ["short"], [KEY, "short"]])
def test_short_keys_are_refused(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="32 characters"):
        Signer(keys)


def test_a_signing_key_is_generated_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "signing.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(stored_key, [path] * 32))
    assert len(keys) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["signing.key"]
    path.write_text("cut")
    with pytest.raises(ValueError, match="must have a signing key"):
        stored_key(path)
