"""Small pieces that all tabs are built of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

AS_SENT = {"preprocess": False}
"""Of drop-down lists whose handler looks for itself whether there is such a thing: Gradio would take
only what it listed for that very page, and a program has none."""


def heading(title: str, words: str = "", *, is_page: bool = False) -> None:
    """A section's heading, or the page's: our own words only."""
    paragraph = f"<p>{words}</p>" if words else ""
    classes = ["xt-heading", "xt-page"] if is_page else ["xt-heading"]
    gr.HTML(f"<h2>{title}</h2>{paragraph}", elem_classes=classes, padding=False)


def message(label: str, *, is_problem: bool = False, lines: int = 1) -> Any:
    """A place for words that may hold what users typed: shown as text, and only while there are any."""
    return gr.Textbox(
        label=label,
        show_label=not is_problem,
        container=not is_problem,
        interactive=False,
        visible=False,
        lines=lines,
        max_lines=8,
        elem_classes="xt-wrong" if is_problem else "xt-said",
    )


def said(words: str) -> Any:
    """An update of a `message`."""
    return gr.update(value=words, visible=bool(words))


def table(headers: list[str], label: str, **options: Any) -> Any:
    """A table of texts that nobody edits; never without a row, which would be no table to a screen reader."""
    return gr.Dataframe(
        [["…", *[""] * (len(headers) - 1)]],
        headers=headers,
        datatype="str",
        type="array",
        interactive=False,
        wrap=True,
        label=label,
        max_height=420,
        elem_classes="xt-facts",
        **options,
    )


def changed(
    values: Sequence[Any], kinds: Sequence[dict[str, Any]], shown: Sequence[Any]
) -> list[Any]:
    """Updates for a tick: of values only what differs from what the page shows, so that nothing flickers.

    `shown` comes from the browser: what a late answer has overwritten is put right by the next tick. `kinds`
    are changes of components that hold no value (whether a button can be pressed); they come with any other.
    """
    is_same = [at < len(shown) and shown[at] == value for at, value in enumerate(values)]
    texts = [gr.skip() if same else value for value, same in zip(values, is_same, strict=True)]
    return [*texts, *(gr.skip() if all(is_same) else gr.update(**kind) for kind in kinds)]
