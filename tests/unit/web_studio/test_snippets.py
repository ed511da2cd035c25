"""The little HTML there is holds numbers and plain ids only."""

from __future__ import annotations

import pytest

from exptrack_daemon.web.studio.snippets import charts, picture, progress_bar


@pytest.mark.parametrize("run_id", ['"><script>', "", "a b", "a/../b", "ü", "x" * 65, "a&b"])
def test_what_is_no_runs_id_makes_nothing(run_id):
    assert charts(run_id) == ""
    assert picture(run_id, 1) == ""


def test_a_run_is_shown_by_our_own_pages():
    assert 'src="/#/charts?runs=abc&amp;' in charts("abc")
    assert 'data-dark="/api/v1/picture.png?run=abc&amp;kind=training&amp;v=7&amp;' in picture(
        "abc", 7
    )


def test_a_bar_needs_an_end():
    assert progress_bar(5, None) == ""
    assert 'value="25"' in progress_bar(50, 200)
    assert 'value="100"' in progress_bar(500, 200)
