"""Made-up secrets of many kinds, where programs put them, and look-alikes that are none."""

from __future__ import annotations

import base64
import string
from random import Random

_LETTERS = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"


def _word(luck: Random, size: int, letters: str = _LETTERS) -> str:
    return "".join(luck.choice(letters) for _ in range(size))


def _jwt(luck: Random) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    return f"{head}.{_word(luck, 40)}.{_word(luck, 43)}"


def shaped(luck: Random) -> dict[str, str]:
    """Credentials that are known by their shape, wherever they stand."""
    return {
        "aws": "AKIA" + _word(luck, 16, string.ascii_uppercase + string.digits),
        "aws session": "ASIA" + _word(luck, 16, string.ascii_uppercase + string.digits),
        "github": "ghp_" + _word(luck, 36),
        "github app": "ghs_" + _word(luck, 36),
        "github fine": "github_pat_" + _word(luck, 60),
        "gitlab": "glpat-" + _word(luck, 20),
        "hugging face": "hf_" + _word(luck, 34),
        "openai": "sk-" + _word(luck, 48),
        "openai project": "sk-proj-" + _word(luck, 60),
        "anthropic": "sk-ant-" + _word(luck, 60),
        "slack": "xoxb-" + _word(luck, 12, string.digits) + "-" + _word(luck, 24),
        "stripe": "sk_live_" + _word(luck, 24),
        "google": "AIza" + _word(luck, 35),
        "npm": "npm_" + _word(luck, 36),
        "jwt": _jwt(luck),
        "pypi": "pypi-" + _word(luck, 80),
        "sendgrid": "SG." + _word(luck, 22) + "." + _word(luck, 43),
        "wandb": "wandb_v1_" + _word(luck, 40),
        "slack app": "xapp-1-" + _word(luck, 60),
        "databricks": "dapi" + _word(luck, 32, _HEX),
        "groq": "gsk_" + _word(luck, 52),
        "xai": "xai-" + _word(luck, 80),
        "replicate": "r8_" + _word(luck, 37),
        "nvidia": "nvapi-" + _word(luck, 64),
        "perplexity": "pplx-" + _word(luck, 48),
        "vault": "hvs." + _word(luck, 90),
        "docker": "dckr_pat_" + _word(luck, 27),
        "digitalocean": "dop_v1_" + _word(luck, 64, _HEX),
    }


def keyed(luck: Random) -> dict[str, str]:
    """Values that only their key tells of."""
    keys = (
        *("password", "db_password", "passwd", "secret", "client_secret", "token", "auth_token"),
        *("api_key", "apikey", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "private_key", "cookie"),
        *("access-key", "credentials", "passphrase", "smtp_pwd", "refresh_token", "AccountKey"),
        *(
            "HF_TOKEN",
            "MLFLOW_TRACKING_PASSWORD",
            "NEPTUNE_API_TOKEN",
            "encryption_key",
            "sentry_dsn",
        ),
    )
    return {key: _word(luck, 24) for key in keys}


LOOK_ALIKES: dict[str, object] = {
    "tokenizer": "bert-base-uncased",
    "tokenizer_name": "gpt2-tokenizer",
    "max_tokens": 4096,
    "max_new_tokens": 128,
    "num_tokens": 1_000_000,
    "tokens_per_step": 2048,
    "pad_token": "<pad>",
    "cls_token": "[CLS]",
    "mask_token_id": 103,
    "vocab_tokens": 50_257,
    "token_dim": 64,
    "token_dropout_rate": 0.1,
    "token_type": "wordpiece",
    "key_dim": 64,
    "num_key_value_heads": 8,
    "keys": "qkv",
    "keyboard": "qwerty",
    "author": "ada",
    "authority": "none",
    "monkey": "capuchin",
    "pinned": True,
    "pin_memory": True,
    "passes": 3,
    "bypass": "layer-3",
    "compass": "north",
    "secretary": 0.25,
    "learning_rate": 0.0003,
    "commit": "3f786850e387550fdab836ed7e6dc881de23001b",
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "url": "https://example.org/data?split=train&page=2",
    "s3": "s3://bucket/prefix/file.parquet",
    "mail": "ada@example.org",
    "ssh": "git@example.org:team/repo.git",
    "task": "sk-learn-baseline",
    "note_a": "basic understanding of attention",
    "note_b": "the token embedding grew; keys and values are fine",
    "note_c": "bearer of good news",
    "token_file": "/run/credentials.d/hub",
    "auth_enabled": True,
}
