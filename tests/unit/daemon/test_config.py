"""Settings are checked before anything starts, and what is wrong is named."""

from __future__ import annotations

import pytest

from exptrack_daemon.config import CATALOG, DaemonConfig, config_from, load_config
from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.home import Home


def test_a_home_without_a_file_has_the_defaults(home):
    assert load_config(home) == DaemonConfig(home=Home(home))


def test_what_the_file_says_counts(home):
    (home / "daemon.toml").write_text(
        'default_sinks = ["wandb"]\n[journal]\nsegment_bytes = 2097152\n'
        "[sampler]\nevery_s = 5\nenabled = false\n[intake]\ncommit_after_s = 0.1\n"
        "[delivery]\nhung_after_s = 90.5\n[sinks.wandb]\nmode = 'offline'\n"
    )
    config = load_config(home)
    assert config.default_sinks == ("wandb",)
    assert config.journal.segment_bytes == 2 << 20
    assert (config.sampler.every_s, config.sampler.enabled) == (5.0, False)
    assert config.intake.commit_after_s == 0.1
    assert config.delivery.hung_after_s == 90.5
    assert config.sinks == {"wandb": {"mode": "offline"}}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"jurnal": {}}, "unknown jurnal; known are default_sinks, delivery"),
        ({"journal": {"segmant": 1}}, "unknown journal.segmant; known are segment_bytes"),
        ({"journal": 5}, r"\[journal\] is a table"),
        ({"journal": {"segment_bytes": 1024}}, "at least 1 MiB"),
        ({"sampler": {"every_s": "2"}}, "Expected `float`, got `str` - at `every_s`"),
        ({"sampler": {"every_s": 0.1}}, "sampler.every_s must be 0.2 to 3600, not 0.1"),
        ({"sampler": {"enabled": "yes"}}, "Expected `bool`"),
        ({"intake": {"commit_bytes": -1}}, "intake.commit_bytes must be"),
        ({"intake": {"commit_bytes": 1.5}}, "Expected `int`"),
        ({"intake": {"commit_after_s": float("nan")}}, "intake.commit_after_s"),
        ({"intake": {"recover_every_s": 0}}, "intake.recover_every_s"),
        ({"delivery": {"batch_bytes": 1}}, "delivery.batch_bytes"),
        ({"delivery": {"batch_age_s": -1}}, "delivery.batch_age_s"),
        ({"delivery": {"hung_after_s": 1}}, "delivery.hung_after_s"),
        ({"default_sinks": "wandb"}, "default_sinks is a list"),
        ({"default_sinks": [1]}, "default_sinks is a list"),
        ({"sinks": ["wandb"]}, "are tables"),
        ({"sinks": {"wandb": 1}}, "are tables"),
    ],
)
def test_what_is_wrong_is_named(home, table, says):
    with pytest.raises(ConfigInvalid, match=says) as caught:
        config_from(Home(home), table)
    assert str(home / "daemon.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"a = ", b"\xff\xfe", b"[journal\n"])
def test_a_file_that_is_no_toml_is_said_to_be_none(home, data):
    (home / "daemon.toml").write_bytes(data)
    with pytest.raises(ConfigInvalid, match="not valid TOML"):
        load_config(home)


def test_a_file_that_cannot_be_read_is_said_so(home):
    (home / "daemon.toml").mkdir()
    with pytest.raises(ConfigInvalid, match="cannot be read"):
        load_config(home)


@pytest.mark.parametrize(
    ("sink", "asked", "wanted"),
    [
        (CATALOG, None, True),
        (CATALOG, (), True),
        ("tensorboard", None, True),
        ("wandb", None, False),
        ("wandb", ("wandb",), True),
        ("tensorboard", ("wandb",), False),
        ("tensorboard", (), False),
        ("store", None, True),
        ("store", ("wandb",), True),
    ],
)
def test_a_run_goes_where_it_asked_else_to_the_default(home, sink, asked, wanted):
    assert DaemonConfig(home=Home(home)).wants(sink, asked) is wanted


def test_a_store_that_is_left_out_is_a_sink_like_any_other(home):
    config = DaemonConfig(home=Home(home), default_sinks=("tensorboard",))
    assert not config.wants("store", None)
    assert config.wants("store", ("store",))
