"""How the tabs look: Gradio's variables set to those of our own pages, so that there is one theme."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

_HERE = Path(__file__).parent
_SANS = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Noto Sans",
    "DejaVu Sans",
    "sans-serif",
)
_MONO = ("ui-monospace", "SF Mono", "DejaVu Sans Mono", "Menlo", "Consolas", "monospace")

_VARIABLES = {
    "body_background_fill": "var(--page)",
    "body_text_color": "var(--text)",
    "body_text_color_subdued": "var(--muted)",
    "background_fill_primary": "var(--panel)",
    "background_fill_secondary": "var(--raised)",
    "border_color_primary": "var(--line)",
    "border_color_accent": "var(--accent)",
    "color_accent_soft": "var(--accent-soft)",
    "link_text_color": "var(--accent)",
    "link_text_color_hover": "var(--accent)",
    "link_text_color_active": "var(--accent)",
    "link_text_color_visited": "var(--accent)",
    "block_background_fill": "var(--panel)",
    "block_border_color": "var(--line)",
    "block_info_text_color": "var(--muted)",
    "block_label_background_fill": "var(--panel)",
    "block_label_border_color": "var(--line)",
    "block_label_text_color": "var(--muted)",
    "block_title_text_color": "var(--text)",
    "panel_background_fill": "var(--panel)",
    "panel_border_color": "var(--line)",
    "accordion_text_color": "var(--text)",
    "input_background_fill": "var(--panel)",
    "input_background_fill_focus": "var(--panel)",
    "input_border_color": "var(--line)",
    "input_border_color_focus": "var(--accent)",
    "input_placeholder_color": "var(--muted)",
    "checkbox_background_color": "var(--panel)",
    "checkbox_background_color_selected": "var(--accent)",
    "checkbox_border_color": "var(--muted)",
    "checkbox_border_color_selected": "var(--accent)",
    "checkbox_label_background_fill": "var(--panel)",
    "checkbox_label_text_color": "var(--text)",
    "table_border_color": "var(--line)",
    "table_even_background_fill": "var(--panel)",
    "table_odd_background_fill": "var(--panel)",
    "table_text_color": "var(--text)",
    "button_primary_background_fill": "var(--accent)",
    "button_primary_background_fill_hover": "var(--accent)",
    "button_primary_border_color": "var(--accent)",
    "button_primary_text_color": "var(--on-accent)",
    "button_primary_text_color_hover": "var(--on-accent)",
    "button_secondary_background_fill": "var(--panel)",
    "button_secondary_background_fill_hover": "var(--raised)",
    "button_secondary_border_color": "var(--line)",
    "button_secondary_text_color": "var(--text)",
    "button_secondary_text_color_hover": "var(--text)",
    "button_cancel_background_fill": "var(--bad-soft)",
    "button_cancel_background_fill_hover": "var(--bad-soft)",
    "button_cancel_border_color": "var(--bad)",
    "button_cancel_text_color": "var(--bad)",
    "button_cancel_text_color_hover": "var(--bad)",
}
"""The same for light and dark: the variables of `static/css/theme.css` know which it is."""
_BEFORE_THE_THEME = {
    "body_background_fill": "var(--page, #f6f7f9)",
    "body_background_fill_dark": "var(--page, #111318)",
    "body_text_color": "var(--text, #1a1e27)",
    "body_text_color_dark": "var(--text, #e8ebf1)",
}
"""Until its file is there: no white flash in the dark."""
_SIZES = {
    "block_radius": "8px",
    "input_radius": "6px",
    "button_large_radius": "6px",
    "button_medium_radius": "6px",
    "button_small_radius": "6px",
    "block_shadow": "none",
    "block_label_text_weight": "550",
    "block_title_text_weight": "550",
    "input_text_size": "14px",
    "input_border_width": "1px",
    "input_padding": "7px 10px",
    "block_padding": "9px 12px",
    "layout_gap": "12px",
    "button_border_width": "1px",
    "section_header_text_size": "14px",
    "button_large_text_size": "14px",
    "button_large_padding": "7px 14px",
    "button_large_text_weight": "550",
}


def theme() -> Any:
    """The theme; no font comes from elsewhere."""
    base = gr.themes.Base(
        primary_hue="indigo", neutral_hue="slate", text_size="md", font=_SANS, font_mono=_MONO
    )
    dark = {f"{name}_dark": value for name, value in _VARIABLES.items()}
    return base.set(**_VARIABLES | _SIZES | dark | _BEFORE_THE_THEME)


def css() -> str:
    return (_HERE / "studio.css").read_text("utf-8")
