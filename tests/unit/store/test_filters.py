"""Filters as people type them: what they find, and what is said where one can't be read."""

from __future__ import annotations

import math
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exptrack_daemon.store.filters import (
    FIELDS,
    FilterError,
    Reference,
    nearest,
    parse_filter,
    reference,
)

RUN = {
    "id": "r1",
    "name": "ResNet wide",
    "project": "mnist",
    "group": None,
    "job_type": "train",
    "status": "running",
    "tags": ("baseline", "Big one"),
    "notes": "second try",
    "created": round(datetime(2026, 11, 24, 8, 30).astimezone().timestamp()) * 1_000_000_000,
    "updated": 0,
    "age": 3 * 86_400.0,
    "duration": 90.0,
    "last_step": 100,
    "rows": 7,
    "points": 70,
    "lost": 0,
    "attempts": 1,
    "ranks": 1,
    "exit_code": None,
    "archived": False,
    "summary": {"loss": 0.05, "val/acc": 0.9, "nan": math.nan, "best": True, "note.x": "ok"},
    "config": {"lr": 1e-3, "opt": "adam", "layers": [64, 128], "flag": False, "model.depth": 3},
}


def value_of(on):
    if on.kind == "field":
        return RUN[on.name]
    if on.kind == "value":
        return RUN["summary"].get(on.name, RUN["config"].get(on.name))
    return RUN[on.kind].get(on.name)


def fits(text):
    found = parse_filter(text)
    columns = {on: [value_of(on)] for on in found.references()}
    return not columns or found.fits(columns) == [True]


@pytest.mark.parametrize(
    "text",
    ["", "   ", "loss<0.1", "loss < .1", "loss<=0.05", "loss>=5e-2", "loss=0.05", "loss==0.05",
     "loss!=0.06", "nan=nan", "not nan<1", "not nan>=1", "val/acc>0.5", '"val/acc">0.5',
     "best=true", "best!=false", "best!=1", "flag=false", "lr=1e-3", "config.lr=0.001",
     "summary.loss<1", "config.opt=adam", "opt~AD", "opt!~sgd", "opt>aa", "layers~128",
     "model.depth=3", "config.model.depth>2", "note.x=ok", "absent!=3", "absent=none",
     "loss!=none", "not absent<3", "not absent>3", "group=null", "exit_code=none",
     "tag:baseline", "tag=baseline", "tags!=old", "tag:'Big one'", 'tag:"Big one"', "tag~big",
     "tag!~small", "not tag:old", "status=running", "status:running", "job=train", "steps>=100",
     "step<101", "lost=0", "archived=false", "name~resnet", "name='ResNet wide'",
     'name="ResNet wide"', "resnet", "RESNET", "mnist", "second", "'second try'", "Big", "r1",
     "resnet wide", "resnet and mnist", "nothing or mnist", "not nothing", "NOT nothing AND mnist",
     "(nothing or mnist) resnet", "not (nothing and mnist)", "not not mnist", "-1<loss or mnist",
     "nothing and mnist or resnet", "resnet or nothing and nothing", "(((mnist)))",
     "age<4d", "age>2d", "age<=1w", "age>71h", "age>4319min", "age>100", "age:4d", "duration>1m",
     "duration<=90s", "created=2026-11-24", "created>=2026-11-24", "created<=2026-11-24",
     "created<2026-11-25", "created>2026-11-23", "created=2026-11-24T08:30",
     "created>2026-11-24T08:29", "created<=2026-11-24T08:30:00",
     "loss<0.1 and tag:baseline and status=running and not project:old and config.lr>=1e-3"
     " and name~resnet"],
)  # fmt: skip
def test_these_find_the_run(text):
    assert fits(text)


@pytest.mark.parametrize(
    "text",
    ["loss>0.1", "loss=nan", "nan<1", "nan>1", "nan=1", "loss<high", "loss=high", "opt>1",
     "best=1", "absent<3", "absent~x", "absent=3", "loss=none", "not mnist", "mnist nothing",
     "tag:base", "tag:'baseline'x", "tag!=baseline", "nothing", "not (mnist or nothing)",
     "created>2026-11-24", "created<2026-11-24", "created=2026-11-23", "age<1d", "flag=true",
     "group='null'", "opt=Adam", "mnist and (nothing or not mnist)", "updated>2026-01-01"],
)  # fmt: skip
def test_these_do_not(text):
    assert not fits(text)


@pytest.mark.parametrize(
    ("text", "at", "reason"),
    [
        ("loss<", 5, "a value is missing after loss<"),
        ("loss<0.1 and", 12, "a condition is missing here"),
        ("and loss<1", 0, "a condition is missing before 'and'"),
        ("loss<1 and or x", 11, "a condition is missing before 'or'"),
        ("loss<1 or", 9, "a condition is missing here"),
        ("(loss<1", 0, r"this \( is not closed"),
        ("loss<1)", 6, r"this \) closes nothing"),
        ("()", 1, "a condition is missing here"),
        ("not", 3, "a condition is missing here"),
        ("name='x", 5, "this quote is not closed"),
        ("<3", 0, "a name is missing before <"),
        ("loss=>3", 5, "there is no such sign; known are"),
        ("age<soon", 4, "no length of time; write 90s"),
        ("age=3d", 4, "ask for lengths of time with <"),
        ("created>yesterday", 8, "is no date; write 2026-11-24"),
        ("created~2026", 8, "ask for times with ="),
        ("tag<x", 4, "tags are not larger or smaller"),
        ("tag:", 4, "a value is missing after tag:"),
        ("(" * 60 + "x" + ")" * 60, 50, "nested too deep"),
    ],
)
def test_what_cannot_be_read_is_shown_with_its_place(text, at, reason):
    with pytest.raises(FilterError, match=reason) as caught:
        parse_filter(text)
    assert caught.value.at == at
    lines = str(caught.value).splitlines()
    assert lines[1] == f"  {text}"
    assert lines[2] == f"  {' ' * at}^"


def test_the_example_of_the_guide_looks_at_what_it_says():
    found = parse_filter("loss<0.1 and tag:x and config.lr>1 and name~y and loss>0")
    assert found.references() == [
        Reference("value", "loss"),
        Reference("field", "tags"),
        Reference("config", "lr"),
        Reference("field", "name"),
    ]


def test_names_stand_for_fields_metrics_or_keys():
    assert reference("steps") == Reference("field", "last_step")
    assert reference("summary.steps") == Reference("summary", "steps")
    assert reference("config.") == Reference("value", "config.")
    assert all(reference(name).kind == "field" for name in FIELDS)


def test_quotes_and_backslashes_stand_for_themselves_when_escaped():
    run = parse_filter(r'name="say \"hi\" \\ \n"')
    (condition,) = [run.root]
    assert condition.test('say "hi" \\ \\n')


def test_keywords_can_be_names_when_they_are_compared():
    assert parse_filter("or = 1").references() == [Reference("value", "or")]
    assert parse_filter("order=1 and nothing=2").references()[0].name == "order"


def test_what_may_have_been_meant():
    assert nearest("los", ["loss", "val/loss", "accuracy"])[0] == "loss"
    assert nearest("acc", ["val/acc", "loss"]) == ["val/acc"]
    assert nearest("zzz", ["loss"]) == []


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_place_in_it(text):
    problem, found = None, None
    try:
        found = parse_filter(text)
    except FilterError as error:
        problem = error
    if found is None:
        assert 0 <= problem.at <= len(text)
        assert problem.reason
        return
    columns = {on: [("a",) if on.name == "tags" else None] * 2 for on in found.references()}
    assert not columns or len(found.fits(columns)) == 2


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_every_name_and_value_can_be_said_in_quotes(name, value):
    def quoted(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    found = parse_filter(f"{quoted('config.' + name)}={quoted(value)}")
    assert found.references() == [Reference("config", name)]
    assert found.fits({Reference("config", name): [value, None]}) == [True, False]
