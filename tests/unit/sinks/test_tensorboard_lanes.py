"""Lanes: every sequence is split into rising ones, and what is remembered is bounded and saved whole."""

import json
import random

from exptrack_daemon.sinks.tensorboard import lanes as module
from exptrack_daemon.sinks.tensorboard.lanes import MOST_LATE, UNSEEN, Lanes, Room, tag_key


def place_all(lanes, tag, steps):
    places = []
    for step in steps:
        _, key = lanes.resolve(tag, "scalar")
        places.append(lanes.place(key, step, first=0).folder)
    return places


def test_rising_steps_stay_in_the_plain_folder():
    assert place_all(Lanes("", Room()), "a", [-3, 0, 1, 7]) == [""] * 4


def test_a_step_that_goes_back_or_repeats_is_late():
    places = place_all(Lanes("", Room()), "a", [0, 5, 3, 4, 6, 6])
    assert places == ["", "", "late", "late", "", "late"]


def test_a_late_step_that_goes_back_again_is_late_twice():
    assert place_all(Lanes("", Room()), "a", [9, 8, 7]) == ["", "late", "late_2"]


def test_late_folders_stand_in_the_writers_own():
    assert place_all(Lanes("rank_3", Room()), "a", [1, 1]) == ["rank_3", "rank_3/late"]


def test_each_tag_has_steps_of_its_own():
    lanes = Lanes("", Room())
    assert place_all(lanes, "a", [100]) == [""]
    assert place_all(lanes, "b", [1, 2]) == ["", ""]


def test_past_the_last_late_folder_everything_goes_there():
    places = place_all(Lanes("", Room()), "a", range(20, 0, -1))
    assert places[MOST_LATE:] == [f"late_{MOST_LATE}"] * (20 - MOST_LATE)


def test_any_order_of_steps_rises_in_every_folder_but_the_last():
    steps = random.Random(5).choices(range(50), k=300)
    rising = {}
    for step, folder in zip(steps, place_all(Lanes("", Room()), "a", steps), strict=True):
        rising.setdefault(folder, []).append(step)
    assert sum(map(len, rising.values())) == 300
    rising.pop(f"late_{MOST_LATE}", None)
    assert all(found == sorted(set(found)) for found in rising.values())


def test_a_new_attempt_rewinds_the_plain_folder_and_only_that():
    lanes = Lanes("", Room())
    place_all(lanes, "a", [5, 5])
    lanes.new_attempt()
    assert place_all(lanes, "a", [3]) == [""]
    assert lanes.main.rewinds
    assert place_all(lanes, "a", [3, 6, 6]) == ["late_2", "", "late"]


def test_a_tag_first_seen_in_a_new_attempt_rewinds_nothing():
    lanes = Lanes("", Room())
    lanes.resolve("a", "scalar")
    lanes.new_attempt()
    place_all(lanes, "a", [3])
    assert not lanes.main.rewinds


def test_a_second_kind_under_one_name_gets_a_tag_of_its_own():
    lanes = Lanes("", Room())
    assert lanes.resolve("a", "scalar")[0] == "a"
    assert lanes.resolve("a", "text")[0] == "a/text"
    assert lanes.resolve("a/text", "image")[0] == "a/text/image"
    assert lanes.resolve("a", "scalar")[0] == "a"


def test_past_its_room_a_tag_is_written_and_not_remembered():
    lanes = Lanes("", Room(left=1))
    assert place_all(lanes, "a", [5, 5]) == ["", "late"]
    assert place_all(lanes, "b", [5, 5, 1]) == ["", "", ""]
    assert list(lanes.kinds) == [tag_key("a")]


def test_writers_share_one_room():
    room = Room(left=3)
    place_all(Lanes("", room), "a", [1, 1])
    place_all(Lanes("rank_1", room), "a", [1])
    assert room.left == 0


def test_saved_lanes_place_like_the_ones_that_were_never_saved():
    rng, room = random.Random(3), Room()
    lanes = Lanes("", room)
    for number in range(600):
        if number % 150 == 149:
            lanes.new_attempt()
        tag, kind = f"t{rng.randrange(9)}", rng.choice(["scalar", "scalar", "text"])
        lanes.place(lanes.resolve(tag, kind)[1], rng.randrange(40), first=rng.randrange(2))
        if number % 20 == 0:
            saved, restored = json.loads(json.dumps(lanes.state())), Room()
            again = Lanes.from_state("", restored, saved)
            assert (again.kinds, restored) == (lanes.kinds, room)
            assert [lane.tops for lane in again.lanes] == [lane.tops for lane in lanes.lanes]


def test_the_state_of_three_thousand_tags_is_small():
    lanes = Lanes("", Room())
    for number in range(3_000):
        lanes.place(lanes.resolve(f"{number}" * 100, "scalar")[1], number % 3, first=0)
    assert len(json.dumps(lanes.state())) < 100_000


def test_the_largest_state_is_below_the_contracts_limit():
    lanes = Lanes("", Room())
    rng = random.Random(1)
    while lanes._room.left:
        lanes.place(
            lanes.resolve(rng.randbytes(8).hex(), "scalar")[1], rng.getrandbits(40), first=0
        )
    assert len(json.dumps(lanes.state())) < 1 << 20


def test_unseen_is_below_every_step():
    assert UNSEEN < module.REWOUND < -(2**63)
