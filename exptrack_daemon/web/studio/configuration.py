"""The Configuration tab: presets, the form with a message beside each field, versions, and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from exptrack_daemon.errors import ConfigInvalid
from exptrack_daemon.web.studio.experiments import (
    DEFAULTS,
    document_of,
    presets,
    problem_of,
    settings_from,
    settings_of,
    version_row,
)
from exptrack_daemon.web.studio.form import FIELDS, SECTIONS, Field, shown_values
from exptrack_daemon.web.studio.parts import Parts
from exptrack_daemon.web.studio.shown import AS_SENT, heading, message, said, table
from exptrack_daemon.web.studio.watching import number

_VERSIONS = ["Version", "When, by whom", "Changed", "Why", "Run"]
_NO_ROW = ["none yet", "", "", "", ""]
_CHANGES = ["Setting", "Before", "After"]


@dataclass(frozen=True, slots=True)
class Form:
    """The form's components, in the order of `FIELDS`, and the settings that it was filled with."""

    fields: list[Any]
    problems: dict[str, Any]
    kept: Any

    @property
    def inputs(self) -> list[Any]:
        """What a handler needs to know the settings: `settings_of(typed, kept)`."""
        return [self.kept, *self.fields]

    @property
    def outputs(self) -> list[Any]:
        """What `filled` gives values for."""
        return [self.kept, *self.fields, *self.problems.values()]


def filled(settings: Mapping[str, Any]) -> list[Any]:
    """The form showing these settings, with no message."""
    return [dict(settings), *shown_values(settings), *(said("") for f in FIELDS if f.may_be_wrong)]


class ConfigurationTab:
    """Builds the tab inside the `Blocks` that is open, and answers its events."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._presets = presets()
        heading(
            "Configuration",
            "What an experiment is, where it is shown, and what is recorded of it. Begin with a preset.",
            is_page=True,
        )
        with gr.Row(elem_classes="xt-columns"):
            with gr.Column(scale=3, min_width=320):
                self.preset = gr.Dropdown(
                    list(self._presets), value=DEFAULTS, label="Preset", elem_id="xt-preset"
                )
                self.form = _form(self._presets[DEFAULTS])
            with gr.Column(scale=2, min_width=320):
                self._build_versions()
                self._build_json()
        self._listen()

    # --- what stands there --------------------------------------------------------------------------

    def _build_versions(self) -> None:
        heading("Save", "Each save is a version; nothing is ever removed.")
        with gr.Group():
            self.why = gr.Textbox(label="Why (optional)", placeholder="such as: a smaller rate")
            self.save = gr.Button("Save as a version", variant="primary", elem_id="xt-save")
        self.told = message("What happened")
        heading("Versions")
        self.name = gr.Dropdown([], label="Saved experiments", elem_id="xt-saved")
        self.load = gr.Button("Load the newest version into the form", elem_id="xt-load")
        self.versions = table(
            _VERSIONS,
            "Versions, the newest first",
            elem_id="xt-versions",
            column_widths=["120px", "170px", "140px", "140px", "110px"],
        )
        with gr.Row():
            self.before = gr.Dropdown([], label="Version", elem_id="xt-before", min_width=120)
            self.after = gr.Dropdown([], label="Compared with", elem_id="xt-after", min_width=120)
        with gr.Row():
            self.compare = gr.Button("Show differences", elem_id="xt-diff", min_width=120)
            self.restore = gr.Button("Restore the version", elem_id="xt-restore", min_width=120)
        self.changes = table(_CHANGES, "Differences", visible=False, elem_id="xt-changes")

    def _build_json(self) -> None:
        with gr.Accordion("As JSON", open=False):
            self.document = gr.Textbox(
                label="The configuration",
                lines=10,
                max_lines=24,
                buttons=["copy"],
                elem_classes="xt-output",
                elem_id="xt-json",
            )
            with gr.Row():
                self.write = gr.Button("Write what the form says", min_width=120)
                self.read = gr.Button("Read into the form", min_width=120)
            self.read_told = message("What happened")

    def _listen(self) -> None:
        form = self.form
        self.preset.input(self._take_preset, self.preset, form.outputs, api_name="preset")
        for field, component in zip(FIELDS, form.fields, strict=True):
            if field.may_be_wrong:
                component.change(
                    partial(_checked, field),
                    component,
                    form.problems[field.name],
                    show_progress="hidden",
                    trigger_mode="always_last",
                    queue=False,
                    api_visibility="private",
                )
        listed = [self.name, self.versions, self.before, self.after]
        self.save.click(
            self._save, [self.why, *form.inputs], [self.told, *listed], api_name="save_version"
        )
        self.name.input(self._show_versions, self.name, listed, api_name="versions", **AS_SENT)
        self.load.click(
            self._load, self.name, [self.told, *form.outputs], api_name="load_version", **AS_SENT
        )
        chosen = [self.name, self.before, self.after]
        self.compare.click(
            self._diff, chosen, [self.told, self.changes], api_name="diff_versions", **AS_SENT
        )
        self.restore.click(
            self._restore,
            [self.name, self.before],
            [self.told, *listed, *form.outputs],
            api_name="restore_version",
            **AS_SENT,
        )
        self.write.click(
            self._write, form.inputs, [self.document, self.read_told], api_name="to_json"
        )
        self.read.click(
            self._read, self.document, [self.read_told, *form.outputs], api_name="from_json"
        )

    @property
    def listing(self) -> list[Any]:
        """What `listed` gives values for, whenever the page is loaded."""
        return [self.name, self.versions, self.before, self.after]

    def listed(self) -> list[Any]:
        """The saved experiments, with the versions of the first."""
        return self._show_versions(None)

    # --- what happens -------------------------------------------------------------------------------

    def _take_preset(self, name: str) -> list[Any]:
        return filled(self._presets[name])

    def _save(self, why: str, kept: dict[str, Any], *typed: Any) -> list[Any]:
        try:
            settings = settings_of(typed, kept)
            before = self._parts.experiments.versions(settings["experiment_name"])
            version = self._parts.experiments.save(settings, why)
        except ConfigInvalid as error:
            return [said(f"Not saved: {error}"), *(gr.skip() for _ in self.listing)]
        name = settings["experiment_name"]
        is_new = not before or before[0].time_ns != version.time_ns
        what = "Saved as" if is_new else "Nothing has changed since"
        return [said(f"{what} version {version.id[:12]} of {name}"), *self._show_versions(name)]

    def _show_versions(self, name: str | None) -> list[Any]:
        names = self._parts.experiments.names()
        chosen = name if name in names else next(iter(names), None)
        versions = self._parts.experiments.versions(chosen) if chosen else []
        rows = [version_row(version) for version in versions]
        ids = list(dict.fromkeys(row[0] for row in rows))
        return [
            gr.update(choices=names, value=chosen),
            rows or [_NO_ROW],
            gr.update(choices=ids, value=ids[1] if len(ids) > 1 else next(iter(ids), None)),
            gr.update(choices=ids, value=next(iter(ids), None)),
        ]

    def _load(self, name: str | None) -> list[Any]:
        if not name:
            return [said("Nothing is saved yet."), *(gr.skip() for _ in self.form.outputs)]
        try:
            settings = self._parts.experiments.load(name)
        except ConfigInvalid as error:
            return [said(f"Not loaded: {error}"), *(gr.skip() for _ in self.form.outputs)]
        return [said(f"The form shows the newest version of {name}."), *filled(settings)]

    def _diff(self, name: str | None, before: str | None, after: str | None) -> list[Any]:
        if not (name and before and after):
            return [said("Choose two versions: save one first."), gr.update(visible=False)]
        try:
            changes = self._parts.experiments.diff(name, before, after)
        except ConfigInvalid as error:
            return [said(f"Not compared: {error}"), gr.update(visible=False)]
        if not changes:
            return [said("These two versions are equal."), gr.update(visible=False)]
        rows = [[c.setting, number(c.before), number(c.after)] for c in changes]
        return [said(""), gr.update(value=rows, visible=True)]

    def _restore(self, name: str | None, version: str | None) -> list[Any]:
        unchanged = [gr.skip() for _ in (*self.listing, *self.form.outputs)]
        if not (name and version):
            return [said("Choose a version: save one first."), *unchanged]
        try:
            settings = self._parts.experiments.restore(name, version)
        except ConfigInvalid as error:
            return [said(f"Not restored: {error}"), *unchanged]
        words = f"Version {version} of {name} is the newest again, and stands in the form."
        return [said(words), *self._show_versions(name), *filled(settings)]

    def _write(self, kept: dict[str, Any], *typed: Any) -> list[Any]:
        try:
            return [document_of(settings_of(typed, kept)), said("")]
        except ConfigInvalid as error:
            return [gr.skip(), said(f"Not written: {error}")]

    def _read(self, text: str) -> list[Any]:
        try:
            settings = settings_from(text)
        except ConfigInvalid as error:
            return [said(f"Not read: {error}"), *(gr.skip() for _ in self.form.outputs)]
        return [said("The form shows what stands here."), *filled(settings)]


def _form(settings: Mapping[str, Any]) -> Form:
    values = dict(zip((f.name for f in FIELDS), shown_values(settings), strict=True))
    fields: dict[str, Any] = {}
    problems: dict[str, Any] = {}
    for title, members in SECTIONS.items():
        with gr.Accordion(title, open=title not in ("Paths", "More")):
            flags = [field for field in members if field.kind == "flag"]
            if flags:
                with gr.Row(elem_classes="xt-flags"):
                    fields |= {flag.name: _component(flag, values[flag.name]) for flag in flags}
            others = [field for field in members if field.kind != "flag"]
            if others:
                with gr.Row(elem_classes="xt-fields"):
                    for field in others:
                        with gr.Column(min_width=180, elem_classes=f"xt-{field.kind}"):
                            fields[field.name] = _component(field, values[field.name])
                            if field.may_be_wrong:
                                label = f"What is wrong with: {field.label}"
                                problems[field.name] = message(label, is_problem=True)
    return Form([fields[field.name] for field in FIELDS], problems, gr.State(dict(settings)))


def _component(field: Field, value: Any) -> Any:
    shared = {"label": field.label, "info": field.info or None, "elem_id": f"xt-{field.name}"}
    if field.kind == "flag":
        return gr.Checkbox(value, label=field.label, elem_id=f"xt-{field.name}", container=False)
    if field.kind == "number":
        return gr.Number(value, precision=None, minimum=None, **shared)
    lines = {"lines": 3, "json": 3}.get(field.kind, 1)
    return gr.Textbox(value, lines=lines, max_lines=max(1, 3 * lines), **shared)


def _checked(field: Field, typed: Any) -> Any:
    return said(problem_of(field, typed))
