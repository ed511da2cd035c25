"""The only HTML that the tabs make: our own words, numbers, and run ids that hold no character of markup."""

from __future__ import annotations

from exptrack_proto.frame import RUN_ID


def progress_bar(done: int, total: int | None) -> str:
    """A bar of `done` of `total` steps; of an unknown total none."""
    if not total:
        return ""
    share = min(100, round(100 * done / total))
    marks = f'max="100" value="{share}" aria-label="Progress"'
    return f'<progress class="xt-progress" {marks}>{share} %</progress>'


def charts(run_id: str) -> str:
    """Our own chart page of one run, in a frame; "" for what is no run's id."""
    if not RUN_ID.fullmatch(run_id):
        return ""
    address = f"/#/charts?runs={run_id}&amp;closed=epoch%7Cmodel"  # what each step logs comes first
    return f'<iframe class="xt-charts" title="Charts of the run" src="{address}"></iframe>'


def picture(run_id: str, version: int) -> str:
    """The 2×2 picture; `version` is the number of rows it shows, so that a newer one is fetched."""
    if not RUN_ID.fullmatch(run_id):
        return ""
    address = f"/api/v1/picture.png?run={run_id}&amp;kind=training&amp;v={version:d}"
    return (
        f'<img class="xt-picture" data-light="{address}&amp;theme=light" data-dark="{address}&amp;theme=dark"'
        ' alt="Loss, accuracy, gradient norm and NaN counts; the charts below show the same" src="">'
    )
