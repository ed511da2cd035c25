"""Secrets in every place a program has: none is recorded anywhere, and what only looks like one stays."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from random import Random

import msgpack
import pytest

from exptrack_agent.redact import HIDDEN, Redactor
from exptrack_agent.settings import redact_of
from tests.security.secret_samples import LOOK_ALIKES, keyed, shaped
from tests.support.processes import Daemon, finished, trainer, wait_until
from tests.support.readback import exptrack

SEED = 20_26

SCRIPT = """
import json, logging
from pathlib import Path
from exptrack_agent.integrations.capture import capture_output
from exptrack_agent.integrations.python_logging import RunHandler
told = json.loads(Path(os.environ["SAMPLES"]).read_text())
shaped, keyed, alike = told["shaped"], told["keyed"], told["alike"]
run = xt.init("secrets", run_id="secrets", autostart=False,
    config={"nested": {"deep": [dict(keyed)]}, "free": list(shaped.values()), **alike},
    notes=f"postgres://ada:{told['url']}@db/x " + " ".join(shaped.values()),
    tags=[shaped["github"]], sink_options={"wandb": {"api_key": keyed["api_key"]}})
run.config["later"] = {key: value for key, value in keyed.items()}
run.summary["where"] = f"https://h/x?sig={told['sig']}&y=1"
run.log_hparams({"token": keyed["token"], "lr": 0.1})
for key, value in keyed.items():
    run.alert("boom", f"ValueError: request failed with {key}={value}")
    run.alert("boom", f'{{"{key}": "{value}"}} and --{key.replace("_", "-")} {value}')
run.log({"said": xt.Text("\\n".join(shaped.values()))})
with capture_output(run):
    print("Authorization: Bearer", told["bearer"])
    print("\\n".join(f"export {key}={value}" for key, value in keyed.items()))
handler = RunHandler(run)
logger = logging.getLogger("mine")
logger.addHandler(handler)
try:
    raise ValueError("cannot log in: " + " ".join(shaped.values()) + told["block"])
except ValueError:
    logger.exception("it failed")
import exptrack_agent.tracker.reproduction as reproduction
document = run.redacted(reproduction.gather(source=True, environment=True, seeds={}, folder=Path.cwd()))
run.put_item(__import__("msgpack").packb({"kind": "artifact", "time_ns": 1,
    **reproduction.artifact_fields(document, "")}))
run.finish(timeout_s=20)
"""


def samples() -> dict[str, object]:
    luck = Random(SEED)
    block = (
        "-----BEGIN RSA PRIVATE KEY-----\n"
        + shaped(luck)["openai"]
        + "\n-----END RSA PRIVATE KEY-----"
    )
    return {
        "shaped": shaped(luck),
        "keyed": keyed(luck),
        "alike": LOOK_ALIKES,
        "url": "Pw0rdInUrl" + str(luck.random()),
        "sig": "SigInUrl" + str(luck.random()),
        "bearer": "B3arer" + str(luck.random()),
        "block": block,
        "argv": "Argv" + str(luck.random()),
        "environ": "Env" + str(luck.random()),
        "git": "Git" + str(luck.random()),
    }


def secrets_of(told: dict[str, object]) -> list[str]:
    many = [*told["shaped"].values(), *told["keyed"].values()]  # type: ignore[attr-defined]
    block = str(told["block"]).splitlines()[1]
    return [
        *many,
        block,
        *(str(told[n]) for n in ("url", "sig", "bearer", "argv", "environ", "git")),
    ]


@pytest.mark.acceptance
@pytest.mark.timeout(180)
def test_no_secret_stands_anywhere_in_the_home(daemon: Daemon, tmp_path: Path) -> None:
    told = samples()
    (tmp_path / "samples.json").write_text(json.dumps(told))
    work = tmp_path / "work"
    work.mkdir()
    for command in (
        ["init", "-q"],
        ["remote", "add", "origin", f"https://ada:{told['git']}@example.org/x.git"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=work, check=True)
    script = f"os.chdir({str(work)!r})\n" + SCRIPT
    process = trainer(
        script,
        daemon.home,
        "--api-key",
        str(told["argv"]),
        f"--password={told['argv']}",
        SAMPLES=str(tmp_path / "samples.json"),
        TORCH_HUB_TOKEN=str(told["environ"]),
        TORCH_HOME=f"https://x:{told['environ']}@h/",
    )
    finished(process, 120)
    wait_until(lambda: not any(s["lag_rows"] for s in daemon.status()["sinks"]), 60)
    daemon.stop()
    files = [path for path in daemon.home.rglob("*") if path.is_file()]
    everything = b"\n".join(path.read_bytes() for path in files)
    secrets = secrets_of(told)
    assert len(secrets) >= 36
    assert [secret for secret in secrets if secret.encode() in everything] == []
    shown = exptrack("show", "secrets", "--json", "--home", str(daemon.home)).stdout
    config = json.loads(shown)["config"]
    assert {name: config[name] for name in LOOK_ALIKES} == LOOK_ALIKES
    assert HIDDEN in shown


@pytest.mark.parametrize(
    "place", ["{}", "x={}", "see {}, please", "'{}'", '{{"a": "{}"}}', "u/{}/v"]
)
def test_a_known_shape_is_found_wherever_it_stands(place):
    for kind, secret in shaped(Random(SEED)).items():
        assert secret not in Redactor().text(place.format(secret)), kind


@pytest.mark.parametrize(
    "place", ["{0}={1}", "{0}: {1}", '"{0}": "{1}"', "--{0} {1}", "--{0}={1}", "{0} = '{1}'"]
)
def test_a_telling_key_hides_its_value_in_any_text(place):
    for key, secret in keyed(Random(SEED)).items():
        assert secret not in Redactor().text("run " + place.format(key, secret) + " end"), key


@pytest.mark.parametrize(
    "said",
    [
        "Authorization: Basic {}",
        "{{'Authorization': 'token {}'}}",
        "{{'password': b'{}'}}",
        'password="not {} but more"',
        "token: str = '{}'",
        "api_key: str | None = '{}'",
        'said: "login with password={} refused"',
        "--password 'a {}' --lr 3",
        'curl -H "X-Api-Key: {}" https://h/x',
        "https://ada:p@{}@host/x",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n{}\n-----END PGP PRIVATE KEY BLOCK-----",
        '{{\\"password\\": \\"{} x\\"}}',
        "AccountName=a;AccountKey={}+/==;EndpointSuffix=x",
    ],
)
def test_ways_of_saying_it(said):
    assert "QcGqZwVb" not in Redactor().text(said.format("QcGqZwVb"))


@pytest.mark.parametrize(
    "said",
    [
        "api_key=os.environ['OPENAI_API_KEY']",
        "the token embedding: 'keys and values' are fine",
        'f"Bearer {token}"',
        "key='a b' and more",
        'pad_token: str = "<pad>"',
        "x == y and tokens: list[str] = []",
    ],
)
def test_code_that_names_a_secret_stays_as_it_is(said):
    assert Redactor().text(said) == said


def test_what_stands_below_a_secret_name_is_secret():
    given = {"api_keys": {"openai": "QcGqZwVb"}, "secrets": {"db": {"x": ["QcGqZwVb"]}}}
    assert "QcGqZwVb" not in json.dumps(Redactor().value(given))
    assert Redactor().value({"token": {"type": "bpe"}}) == {"token": {"type": "bpe"}}


def test_a_known_shape_is_found_in_keys_and_captions_and_alone_in_an_item():
    for kind, secret in shaped(Random(SEED)).items():
        assert list(Redactor().value({secret: 1})) == [HIDDEN], kind
        for item in ({"kind": "note", "text": secret}, {"kind": "image", "caption": secret}):
            assert secret.encode() not in Redactor().item(msgpack.packb(item)), kind


def test_every_telling_key_is_seen_in_an_item():
    for key, secret in keyed(Random(SEED)).items():
        item = {"kind": "config", "config": json.dumps({"deep": {key: secret}})}
        assert secret.encode() not in Redactor().item(msgpack.packb(item)), key


def test_long_texts_made_to_be_slow_are_not():
    """A search that goes back and forth would take minutes; the time limit of a test is one."""
    for part in ("a.", "a='", 'token="\\', "a: b", "https://a", "sk-", "eyJaaaaaaaa.", "key: a = "):
        Redactor().text(part * (60_000 // len(part)))


def test_look_alikes_stay_as_they_are():
    assert len(LOOK_ALIKES) == 40
    assert Redactor().value(LOOK_ALIKES) == LOOK_ALIKES
    for name, value in LOOK_ALIKES.items():
        assert Redactor().text(f"{name}={value}") == f"{name}={value}"


def test_the_user_can_add_names_and_switch_it_off():
    assert Redactor(["Patient"]).value({"patient": "ada", "lr": 1}) == {"patient": HIDDEN, "lr": 1}
    assert redact_of(None, {}) is True
    assert redact_of(None, {"EXPTRACK_REDACT": "0"}) is False
    assert redact_of(None, {"EXPTRACK_REDACT": "patient, ward"}) == ("patient", "ward")
    assert redact_of(False, {"EXPTRACK_REDACT": "1"}) is False


def test_what_was_cleaned_once_stays_as_it_is():
    redactor = Redactor()
    for key, secret in keyed(Random(SEED)).items():
        clean = redactor.text(f"{key}={secret} https://a:{secret}@h/?token={secret}")
        assert redactor.text(clean) == clean
