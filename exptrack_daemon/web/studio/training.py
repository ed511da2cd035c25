"""The Training tab: the simulation, the user's own scripts, and one table of what was started."""

from __future__ import annotations

from typing import Any

import gradio as gr

from exptrack_daemon.errors import ConfigInvalid, ExptrackError
from exptrack_daemon.web.studio import snippets
from exptrack_daemon.web.studio.configuration import Form
from exptrack_daemon.web.studio.experiments import presets, settings_of
from exptrack_daemon.web.studio.jobs import JobView
from exptrack_daemon.web.studio.launchfile import launch_file, read_scripts
from exptrack_daemon.web.studio.parts import Parts, SimulationChoice
from exptrack_daemon.web.studio.shown import AS_SENT, changed, heading, message, said, table
from exptrack_daemon.web.studio.watching import (
    Progress,
    job_label,
    job_row,
    job_words,
    number,
    progress_of,
    span,
    step_words,
)

FORM = "What the Configuration tab says"
_PRESET = "Preset: "
_SAVED = "Saved: "
_NO_JOB = "Nothing was started yet. Start the simulation, or one of your scripts."
_TICK_S = 1.0
_AFTER_END_S = 10.0
"""So long one looks on after a job's end: its last rows may still be on their way."""
_NO_ROW = ["–", "nothing yet", "", "", "", ""]
_JOBS = ["Job", "What", "State", "Run", "Started", "Lasted"]
_EXAMPLE = """[[script]]
name = "my training"
about = "What it does"
argv = ["{python}", "train.py", "--config", "{config}"]
cwd = "/path/of/your/code"
"""


class TrainingTab:
    """Builds the tab inside the `Blocks` that is open, and answers its events."""

    def __init__(self, parts: Parts, form: Form) -> None:
        self._parts = parts
        self._form = form
        heading(
            "Training",
            "Each job is a process of its own, and ends with this server at the latest.",
            is_page=True,
        )
        with gr.Row(elem_classes="xt-columns"):
            with gr.Column(scale=2, min_width=320):
                self.source = gr.Dropdown(
                    [FORM], value=FORM, label="Configuration", elem_id="xt-source"
                )
                self._build_simulation()
                self._build_launcher()
                self.told = message("What happened")
            with gr.Column(scale=3, min_width=320):
                self._build_status()
        self.charts = gr.HTML("", padding=False)
        self._listen()

    # --- what stands there --------------------------------------------------------------------------

    def _build_simulation(self) -> None:
        heading(
            "Simulation",
            "A small network really learns a spiral, tracked as your training would be.",
        )
        with gr.Group():
            with gr.Row():
                self.steps = gr.Number(500, label="Steps", elem_id="xt-steps", min_width=120)
                self.batch = gr.Number(64, label="Batch size", elem_id="xt-batch", min_width=120)
            with gr.Row():
                self.rate = gr.Number(0.3, label="Learning rate", elem_id="xt-rate", min_width=120)
                self.norm = gr.Number(
                    1.0, label="Maximal gradient norm", elem_id="xt-norm", min_width=120
                )
            self.pause = gr.Number(
                20, label="Pause after each step, in ms, so that you can watch", elem_id="xt-pause"
            )
        self.choice_problem = message("What is wrong with the simulation", is_problem=True)
        self.start = gr.Button("Start the simulation", variant="primary", elem_id="xt-start")

    def _build_launcher(self) -> None:
        heading(
            "Your own script", "Only what launch.toml in the home folder allows can be started."
        )
        with gr.Group():
            # any name is let through, since `launch` says in words which it does not allow
            self.script = gr.Dropdown(
                self._names(), label="Script", elem_id="xt-script", allow_custom_value=True
            )
            self.about = message("What it does")
        self.how = message("How to allow a script", lines=8)
        self.launch = gr.Button("Launch the script", elem_id="xt-launch")

    def _build_status(self) -> None:
        heading("Status")
        with gr.Row(elem_classes="xt-end"):
            self.job = gr.Dropdown([], label="Job", elem_id="xt-job", scale=3, min_width=200)
            self.stop = gr.Button(
                "Stop", variant="stop", interactive=False, elem_id="xt-stop", min_width=90
            )
        self.state = gr.Textbox(_NO_JOB, label="State", interactive=False, elem_id="xt-state")
        self.bar = gr.HTML("", padding=False)
        with gr.Row():
            self.step = gr.Textbox(
                label="Progress", interactive=False, min_width=150, elem_id="xt-step"
            )
            self.loss = gr.Textbox(
                label="Last loss", interactive=False, min_width=110, elem_id="xt-loss"
            )
            self.lasted = gr.Textbox(label="Time", interactive=False, min_width=110)
        self.open = gr.Button("Open the run's page", visible=False, elem_id="xt-open")
        self.output = gr.Textbox(
            label="The end of its output",
            lines=8,
            max_lines=8,
            interactive=False,
            buttons=["copy"],
            elem_classes="xt-output",
            elem_id="xt-output",
        )
        self.table = table(
            _JOBS,
            "All jobs, the newest first",
            elem_id="xt-jobs",
            column_widths=["60px", "140px", "150px", "140px", "120px", "120px"],
        )
        self.timer = gr.Timer(_TICK_S, active=False)

    @property
    def _texts(self) -> list[Any]:
        """What of the status holds a value."""
        texts = [self.state, self.bar, self.step, self.loss, self.lasted, self.output]
        return [*texts, self.table, self.charts]

    @property
    def _watched(self) -> list[Any]:
        return [*self._texts, self.stop, self.open]

    def _listen(self) -> None:
        sources = [self.source, *self._form.inputs]
        chosen = [self.steps, self.rate, self.batch, self.norm, self.pause]
        begun = [self.told, self.choice_problem, self.job]
        shown = [self.timer, *self._watched]
        fresh = {
            "fn": self._look,
            "inputs": self.job,
            "outputs": shown,
            "show_progress": "hidden",
        } | AS_SENT
        quiet = {"api_visibility": "private"}
        self.start.click(
            self._simulate, [*chosen, *sources], begun, api_name="start_simulation"
        ).then(**fresh, **quiet)
        self.launch.click(
            self._launch, [self.script, *sources], begun, api_name="launch_script"
        ).then(**fresh, **quiet)
        self.stop.click(self._stop, self.job, self.told, api_name="stop_job", **AS_SENT).then(
            **fresh, **quiet
        )
        self.job.input(**fresh, api_name="job_status")
        self.script.change(self._describe, self.script, self.about, **quiet)
        self.timer.tick(
            self._tick,
            [self.job, *self._texts],
            shown,
            show_progress="hidden",
            trigger_mode="once",
            queue=False,
            **quiet,
        )

    @property
    def listing(self) -> list[Any]:
        """What `listed` gives values for, whenever the page is loaded."""
        choices = [self.source, self.script, self.about, self.how, self.launch, self.job]
        return [*choices, self.timer, *self._watched]

    def listed(self, script: str | None = None) -> list[Any]:
        """Choices of configurations and scripts, and the newest job as it stands."""
        names = self._parts.experiments.names()
        sources = [FORM, *map(_PRESET.__add__, presets()), *map(_SAVED.__add__, names)]
        newest = next(iter(self._parts.jobs.all()), None)
        number_of = newest.number if newest else None
        return [
            gr.update(choices=sources),
            *self._scripts(script),
            gr.update(choices=self._job_choices(), value=number_of),
            *self._look(number_of),
        ]

    def _names(self) -> list[str]:
        """Scripts that may be started; none while the file is wrong, which is said elsewhere."""
        try:
            return list(read_scripts(self._parts.home))
        except ConfigInvalid:
            return []

    def _scripts(self, chosen: str | None) -> list[Any]:
        """The script's dropdown, what it does, how to allow one, the launch button."""
        path = launch_file(self._parts.home)
        try:
            scripts = read_scripts(self._parts.home)
        except ConfigInvalid as error:
            off = gr.update(interactive=False)
            return [gr.update(choices=[], value=None), said(""), said(str(error)), off]
        name = chosen if chosen in scripts else next(iter(scripts), None)
        how = "" if scripts else f"There is no script in {path} yet. Write there:\n\n{_EXAMPLE}"
        return [
            gr.update(choices=list(scripts), value=name),
            said(scripts[name].about if name else ""),
            said(how),
            gr.update(interactive=bool(scripts)),
        ]

    # --- what happens -------------------------------------------------------------------------------

    def _simulate(
        self, steps: Any, rate: Any, batch: Any, norm: Any, pause: Any, *source: Any
    ) -> list[Any]:
        choice = SimulationChoice(
            steps=steps,
            learning_rate=rate,
            batch_size=batch,
            max_gradient_norm=norm,
            pause_ms=pause,
        )
        problems = "; ".join(choice.problems().values())
        if problems:
            return [said(""), said(problems), gr.skip()]
        try:
            job = self._parts.simulate(self._settings(*source), choice)
        except ExptrackError as error:
            return [said(f"Not started: {error}"), said(""), gr.skip()]
        return [said(""), said(""), self._chosen(job)]

    def _launch(self, name: Any, *source: Any) -> list[Any]:
        if not name or not isinstance(name, str):
            return [said("Choose a script first."), said(""), gr.skip()]
        try:
            job = self._parts.launch(name, self._settings(*source))
        except ExptrackError as error:
            return [said(f"Not started: {error}"), said(""), gr.skip()]
        return [said(""), said(""), self._chosen(job)]

    def _settings(self, source: str, kept: dict[str, Any], *typed: Any) -> dict[str, Any]:
        if source.startswith(_SAVED):
            return self._parts.experiments.load(source.removeprefix(_SAVED))
        if source.startswith(_PRESET):
            return presets()[source.removeprefix(_PRESET)]
        return settings_of(typed, kept)

    def _chosen(self, job: JobView) -> Any:
        return gr.update(choices=self._job_choices(), value=job.number)

    def _job_choices(self) -> list[tuple[str, int]]:
        return [(job_label(job), job.number) for job in self._parts.jobs.all()]

    def _stop(self, number_of: int | None) -> Any:
        job = self._parts.jobs.get(number_of) if number_of else None
        if job is None or not job.is_running:
            return said("That job has ended already.")
        self._parts.jobs.stop(job.number)
        return said("")

    def _describe(self, name: str | None) -> Any:
        try:
            script = read_scripts(self._parts.home).get(name or "")
        except ConfigInvalid:
            script = None
        return said(script.about if script else "")

    def _look(self, number_of: int | None) -> list[Any]:
        """All of the status, drawn anew."""
        return self._tick(number_of)

    def _tick(self, number_of: int | None, *shown: Any) -> list[Any]:
        """Whether to tick on, and of the status what differs from what is shown."""
        job = self._parts.jobs.get(number_of) if number_of else None
        jobs = self._parts.jobs.all()
        texts, kinds = self._status(job)
        texts.insert(-1, [job_row(one) for one in jobs] or [_NO_ROW])
        is_active = any(one.is_running or one.ended_s_ago < _AFTER_END_S for one in jobs)
        return [gr.Timer(_TICK_S, active=is_active), *changed(texts, kinds, shown)]

    def _status(self, job: JobView | None) -> tuple[list[Any], list[dict[str, Any]]]:
        """The values of `_texts` but the table's, and what changes of the buttons."""
        if job is None:
            return [_NO_JOB, "", "", "", "", "", ""], [{"interactive": False}, {"visible": False}]
        progress = progress_of(self._parts.reader(), job.spec.run_id)
        texts = [
            job_words(job),
            snippets.progress_bar(progress.done, job.spec.steps),
            step_words(job, progress),
            "" if progress.loss is None else number(progress.loss),
            span(job.elapsed_s),
            job.output,
            "" if progress.step is None else snippets.charts(job.spec.run_id),
        ]
        return texts, [{"interactive": job.state == "running"}, _link(job, progress)]


def _link(job: JobView, progress: Progress) -> dict[str, Any]:
    if progress.step is None:
        return {"visible": False}
    return {"visible": True, "link": f"/#/run/{job.spec.run_id}", "link_target": "_blank"}
