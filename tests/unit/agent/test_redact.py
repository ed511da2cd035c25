"""What is recorded of a command line and an environment holds no secret that its key tells of."""

from __future__ import annotations

import pytest

from exptrack_agent.redact import (
    Redactor,
    chosen_variables,
    is_secret,
    redacted_arguments,
    without_credentials,
)


@pytest.mark.parametrize(
    "key",
    [
        *(
            "api-key",
            "API_KEY",
            "apikey",
            "WANDB_API_KEY",
            "token",
            "hf_token",
            "password",
            "passwd",
        ),
        *(
            "db-password",
            "secret",
            "AWS_SECRET_ACCESS_KEY",
            "aws_access_key_id",
            "credentials",
            "auth",
        ),
        *("private_key", "Authorization", "cookie", "passphrase", "SENTRY_DSN", "key"),
        *("NPM_TOKEN", "AWS_SESSION_TOKEN", "personal_access_token", "minio_token", "AccountKey"),
        *("NEPTUNE_API_TOKEN", "image_registry_token", "openai_key", "login.token", "license-key"),
    ],
)
def test_keys_of_secrets(key: str):
    assert is_secret(key)


@pytest.mark.parametrize(
    "key",
    [
        *("max_tokens", "max-new-tokens", "tokenizer", "num_tokens", "pad_token_id", "lr", "keys"),
        *(
            "author",
            "keyboard",
            "monkey",
            "vocab_token_count",
            "tokens_per_step",
            "epochs",
            "pinned",
            "n_token",
            "max_new_token",
            "pad.token",
            "image_token_id",
            "sort_key",
            "map_key",
        ),
    ],
)
def test_keys_of_no_secrets(key: str):
    assert not is_secret(key)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["train.py", "--token", "abc"], ["train.py", "--token", "***"]),
        (["--api-key=abc", "x"], ["--api-key=***", "x"]),
        (["password=abc"], ["password=***"]),
        (["+logger.api_key=abc"], ["+logger.api_key=***"]),
        (["--token", "--lr", "3"], ["--token", "--lr", "3"]),
        (["--token", "-5"], ["--token", "***"]),
        (["-H", "Authorization: Bearer abc"], ["-H", "Authorization: ***"]),
        (["--lr", "1e-3", "--max-tokens", "5"], ["--lr", "1e-3", "--max-tokens", "5"]),
        (["--db", "postgres://u:p@h/d"], ["--db", "postgres://h/d"]),
        (["https://h/x?sig=abc&y=1"], ["https://h/x?sig=***&y=1"]),
    ],
)
def test_a_command_line_keeps_everything_but_its_secrets(given: list[str], shown: list[str]):
    assert redacted_arguments(given) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://user:pw@host/a.git", "https://host/a.git"),
        ("https://token@host/a.git", "https://host/a.git"),
        ("git@host:a/b.git", "git@host:a/b.git"),
        ("/srv/a.git", "/srv/a.git"),
    ],
)
def test_a_remote_shows_no_credentials(address: str, shown: str):
    assert without_credentials(address) == shown


def test_only_allowed_variables_and_none_that_is_secret():
    environ = {"OMP_NUM_THREADS": "2", "TORCH_TOKEN": "x", "TORCH_HOME": "/t", "HOME": "/h"}
    assert chosen_variables(environ, ["TORCH_*", "OMP_NUM_THREADS"]) == {
        "OMP_NUM_THREADS": "2",
        "TORCH_HOME": "/t",
    }


def test_values_keep_their_kind():
    given = {
        "betas": (0.9, 0.999),
        "names": ("a", "b"),
        "none": (),
        "list": ["a", 1],
        5: {"x": None},
    }
    assert Redactor().value(given) == given
