"""Tests the names of keys: no name from outside can forge one, and each can be parsed again."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.storage import keys
from service.storage.keys import Collection

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@given(names, names, names, names)
def test_the_key_of_a_record_is_parsed_back_for_any_names(dialect: str, namespace: str, name: str, id: str) -> None:
    collection = Collection(dialect, namespace, name, "cusn")
    assert keys.parse(collection.record(id)) == (dialect, namespace, name, "r:", id)
    assert keys.parse(collection.staged("0f")) == (dialect, namespace, name, "s:", "0f")
    for key in (*collection.indexes, collection.expiry):
        assert keys.parse(key) == (dialect, namespace, name, key[-1], "")
    assert keys.parse_namespace(keys.namespace(dialect, namespace)) == (dialect, namespace)


@given(names, names)
def test_all_keys_of_a_collection_have_one_hash_tag(name: str, id: str) -> None:
    collection = Collection("ainoflow", "acme", name, "cusn")
    for key in (collection.record(id), collection.staged("0f"), collection.expiry, *collection.indexes):
        found = re.search(r"\{(.*?)\}", key)  # Redis takes the first { and the first } behind it
        assert found is not None
        assert "{" + found[1] + "}" == collection.tag


@given(names, names, names, names)
def test_two_different_records_never_share_a_key(a: str, b: str, c: str, d: str) -> None:
    one, other = Collection("ainoflow", "acme", a, ""), Collection("ainoflow", "acme", b, "")
    assert (one.record(c) == other.record(d)) == ((a, c) == (b, d))


@pytest.mark.parametrize("id", ["a:b", "{a}", "a%3Ab", "}x{", "a b", "é", "\0", "a/b", "a\nb"])
def test_separators_in_names_are_encoded(id: str) -> None:
    assert not set("{}: /\0\n") & set(keys.escape(id))


@pytest.mark.parametrize("id", ["abc", "A-Z_0.9~", "k00001"])
def test_names_that_need_no_encoding_are_unchanged(id: str) -> None:
    assert keys.escape(id) == id


@pytest.mark.parametrize(
    "key",
    [
        "polystow:epoch",
        "{ainoflow:acme}collections",
        "{ainoflow:acme}usage",
        "r:a",
        "{a:b}r:c",
        "{a:b:c}rr:d",
        "{a:b:c}list",
        "{a:b:c}r"[:-1],
        "",
    ],
)
def test_other_keys_are_not_parsed_as_keys_of_a_collection(key: str) -> None:
    assert keys.parse(key) is None


def test_collections_are_equal_by_names_and_indexes() -> None:
    """This holds after the cache of collections has dropped a collection and made it again."""
    one, same = Collection("ainoflow", "acme", "a", "cusn"), Collection("ainoflow", "acme", "a", "cusn")
    assert (one, hash(one)) == (same, hash(same))
    assert one not in (
        Collection("ainoflow", "acme", "b", "cusn"),
        Collection("ainoflow", "other", "a", "cusn"),
        Collection("ainoflow", "acme", "a", "cu"),
        one.tag,
    )
    assert keys.collection("ainoflow", "acme", "a", "cusn") is keys.collection("ainoflow", "acme", "a", "cusn")


def test_an_unknown_index_of_a_collection_is_refused() -> None:
    with pytest.raises(ValueError, match="substring not found"):
        Collection("genesys", "area", "a", "").index("c")
