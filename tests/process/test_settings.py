"""Tests settings: the table, the accepted values, and the messages for others."""

import argparse
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.settings import PREFIX, TABLE, BadSetting, Settings, add_flags, read, unknown

FLAGS = {"host", "port", "ops_port", "workers", "redis_url", "data_dir", "access"}


def test_every_setting_is_in_the_table_with_one_sentence_of_help() -> None:
    assert [entry.name for entry in TABLE] == [field.name for field in fields(Settings)]
    for entry in TABLE:
        assert entry.variable == PREFIX + entry.name.upper()
        assert entry.help.endswith("."), entry.name


def test_the_command_line_has_exactly_the_documented_flags() -> None:
    assert {entry.name for entry in TABLE if entry.flag} == FLAGS


def test_no_environment_and_no_flags_give_the_defaults() -> None:
    assert read({}, {}) == Settings()
    assert (Settings().host, Settings().port, Settings().ops_port) == ("127.0.0.1", 8080, 8081)
    assert Settings().max_document_bytes == 10_485_760


def test_a_flag_wins_over_a_variable_and_a_variable_over_the_default() -> None:
    assert read({"port": "1"}, {"POLYSTOW_PORT": "2"}).port == 1
    assert read({"port": None}, {"POLYSTOW_PORT": "2"}).port == 2


def test_an_empty_variable_counts_as_unset() -> None:
    assert read({}, {"POLYSTOW_REDIS_URL": "", "POLYSTOW_PORT": ""}) == Settings()


def test_flags_on_a_command_line_reach_the_settings() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    parsed = vars(parser.parse_args(["--ops-port", "9", "--data-dir", "/d", "--redis", "unix:///r.sock"]))
    settings = read(parsed, {})
    assert (settings.ops_port, settings.data_dir, settings.redis_url) == (9, Path("/d"), "unix:///r.sock")


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("WORKERS", "4", 4),
        ("HOST", "::1", "::1"),
        ("HOST", "0.0.0.0", "0.0.0.0"),
        ("HOST", "localhost", "localhost"),
        ("APPENDFSYNC", "Always", "always"),
        ("ACCESS_LOG", "ON", True),
        ("ACCESS_LOG", "0", False),
        ("DRAIN_SECONDS", "0.5", 0.5),
        ("CORS_ORIGINS", "https://a.example, http://b:80", ("https://a.example", "http://b:80")),
        ("DIALECTS", "ainoflow,avaamo,ainoflow", ("ainoflow", "avaamo")),
        ("PUBLIC_URL", "https://storage.example:8443/base/", "https://storage.example:8443/base"),
        ("GENESYS_ALLOWED_MIME_TYPES", "image/PNG, application/pdf", ("image/png", "application/pdf")),
        ("SIGNING_KEY", f"{'k' * 32}, {'o' * 40}", ("k" * 32, "o" * 40)),
        ("GENESYS_ALLOW_FILE_CONTROL", "on", True),
        ("REDIS_URL", "rediss://user:p%40ss@host:6380/1", "rediss://user:p%40ss@host:6380/1"),
    ],
)
def test_a_valid_value_is_parsed(variable: str, text: str, value: object) -> None:
    assert getattr(read({}, {PREFIX + variable: text}), variable.lower()) == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "0x50"),
        ("PORT", "\uff18\uff10"),  # full-width digits, which int() would take
        ("WORKERS", "0"),
        ("WORKERS", "two"),
        ("HOST", "no host"),
        ("HOST", "1.2.3"),
        ("APPENDFSYNC", "no"),
        ("ACCESS_LOG", "maybe"),
        ("DRAIN_SECONDS", "-1"),
        ("DRAIN_SECONDS", "inf"),
        ("REQUEST_TIMEOUT", "0"),
        ("MAX_DOCUMENT_BYTES", "10MB"),
        ("CORS_ORIGINS", "app.example"),
        ("PUBLIC_URL", "storage.example"),
        ("PUBLIC_URL", "https://a.example/?x"),
        ("GENESYS_ALLOWED_MIME_TYPES", "png"),
        ("GENESYS_MAX_REQUEST_BYTES", "200000000"),
        ("DIALECTS", "../evil"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_an_invalid_value_is_refused_with_name_value_and_expectation(variable: str, text: str) -> None:
    with pytest.raises(BadSetting) as refused:
        read({}, {PREFIX + variable: text})
    message = str(refused.value)
    expected = next(entry.kind.expected for entry in TABLE if entry.variable == PREFIX + variable)
    assert message == f"{PREFIX}{variable} must be {expected}, not {text!r}"


def test_an_invalid_flag_is_refused_under_the_name_that_was_typed() -> None:
    with pytest.raises(BadSetting, match=r"^--ops-port must be a port number .*, not 'x'"):
        read({"ops_port": "x"}, {})


@pytest.mark.parametrize(
    ("variable", "text"), [("REDIS_URL", "http://:s3cret@host"), ("ADMIN_TOKEN", "s3cret with space")]
)
def test_an_invalid_secret_is_refused_without_showing_it(variable: str, text: str) -> None:
    with pytest.raises(BadSetting) as refused:
        read({}, {PREFIX + variable: text})
    assert "s3cret" not in str(refused.value)
    assert PREFIX + variable in str(refused.value)


def test_a_kubernetes_service_link_is_recognised() -> None:
    with pytest.raises(BadSetting, match="enableServiceLinks"):
        read({}, {"POLYSTOW_PORT": "tcp://10.0.0.1:8080"})


def test_secrets_are_not_in_the_repr_of_settings() -> None:
    settings = Settings(admin_token="s3cret", redis_url="redis://:s3cret@host")
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings)


def test_a_misspelled_setting_is_found() -> None:
    assert unknown({"POLYSTOW_PROT": "1", "POLYSTOW_PORT": "1", "PATH": "/"}) == ["POLYSTOW_PROT"]


@given(
    st.builds(
        Settings,
        port=st.integers(0, 65535),
        workers=st.integers(1, 256),
        redis_url=st.sampled_from([None, "redis://:p@h:1/2", "unix:///a/b.sock"]),
        admin_token=st.none() | st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1),
        data_dir=st.sampled_from([Path("data"), Path("/var/lib/poly stow")]),
        access_log=st.booleans(),
        drain_seconds=st.integers(0, 36_000).map(lambda tenths: tenths / 10),
        cors_origins=st.sampled_from([(), ("*",), ("https://a.example", "http://b:80")]),
        dialects=st.sampled_from([(), ("ainoflow",), ("ainoflow", "avaamo")]),
    )
)
def test_workers_get_the_same_settings_through_the_environment(settings: Settings) -> None:
    assert read({}, settings.environment()) == settings
