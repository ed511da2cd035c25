"""The Monitoring tab: one run's picture, summary and charts; TensorBoard; health."""

from __future__ import annotations

from typing import Any

import gradio as gr

from exptrack_daemon.errors import ExptrackError
from exptrack_daemon.store.export import MissingExtra
from exptrack_daemon.store.reader import HomeReader, RunView
from exptrack_daemon.web.api.health import health_document
from exptrack_daemon.web.api.tensorboard import other_name
from exptrack_daemon.web.state import Studio
from exptrack_daemon.web.studio import snippets
from exptrack_daemon.web.studio.health import health_rows
from exptrack_daemon.web.studio.parts import Parts
from exptrack_daemon.web.studio.shown import AS_SENT, changed, heading, message, table
from exptrack_daemon.web.studio.watching import (
    find_run,
    run_choices,
    sink_rows,
    summary_rows,
    value_rows,
)
from exptrack_daemon.web.tensorboard import NotStarted

_NO_RUNS = (
    "There is no run in this home folder yet. Start the simulation on the Training tab, or run a script of"
    " your own: its run appears here by itself."
)
_BOARD_OFF = "TensorBoard does not run. It starts on this machine only, and ends with this server."
_TICK_S = 3.0


class MonitoringTab:
    """Builds the tab inside the `Blocks` that is open, and answers its events."""

    def __init__(self, parts: Parts, studio: Studio) -> None:
        self._parts = parts
        self._studio = studio
        heading(
            "Monitoring",
            "One run at a time; many beside each other stand on the Charts page.",
            is_page=True,
        )
        with gr.Row(elem_classes="xt-end"):
            self.run = gr.Dropdown([], label="Run", scale=4, min_width=240, elem_id="xt-run")
            self.refresh = gr.Button("Refresh", min_width=90, elem_id="xt-refresh")
            self.open = gr.Button("Open the run's page", min_width=160, visible=False)
        self.empty = message("No runs yet", lines=2)
        with gr.Row(elem_classes="xt-columns"):
            with gr.Column(scale=3, min_width=320):
                with gr.Column(visible=False) as self.pictures:
                    self.picture = gr.HTML("", padding=False, elem_id="xt-picture")
                    heading("Live charts")
                    self.charts = gr.HTML("", padding=False, elem_id="xt-run-charts")
                self._build_board()
            with gr.Column(scale=2, min_width=320):
                with gr.Column(visible=False) as self.facts:
                    self._build_facts()
                heading("Health")
                self.health = table(
                    ["What", "State", "More"],
                    "Daemon, sinks and machine",
                    elem_id="xt-health",
                    column_widths=["28%", "20%", "52%"],
                )
        self.timer = gr.Timer(_TICK_S, active=False)
        self._listen()

    # --- what stands there --------------------------------------------------------------------------

    def _build_facts(self) -> None:
        self.summary = table(
            ["What", "Value"], "Summary", elem_id="xt-summary", column_widths=["28%", "72%"]
        )
        self.values = table(
            ["Metric", "Last value"],
            "Last values",
            elem_id="xt-values",
            column_widths=["66%", "34%"],
        )
        self.sinks = table(
            ["Sink", "State", "Rows", "Behind", "Why"],
            "Sinks of this run",
            column_widths=["110px", "90px", "80px", "80px", "150px"],
        )
        with gr.Accordion("Configuration of the run", open=False):
            self.config = table(["Setting", "Value"], "As the run was given it")

    def _build_board(self) -> None:
        heading("TensorBoard")
        self.board = gr.Textbox(
            _BOARD_OFF, label="State", interactive=False, lines=2, elem_id="xt-board"
        )
        with gr.Row():
            self.board_start = gr.Button(
                "Start TensorBoard", min_width=130, elem_id="xt-board-start"
            )
            self.board_stop = gr.Button(
                "Stop TensorBoard", min_width=130, interactive=False, elem_id="xt-board-stop"
            )
            self.board_open = gr.Button(
                "Open TensorBoard", min_width=130, visible=False, elem_id="xt-board-open"
            )

    @property
    def _texts(self) -> list[Any]:
        """What of the run and the health holds a value."""
        facts = [self.summary, self.values, self.sinks, self.config, self.health]
        return [self.picture, self.charts, *facts]

    @property
    def _watched(self) -> list[Any]:
        return [*self._texts, self.empty, self.pictures, self.facts, self.open]

    @property
    def _board_parts(self) -> list[Any]:
        return [self.board, self.board_start, self.board_stop, self.board_open]

    def _listen(self) -> None:
        shown = self._watched
        self.run.input(
            self._look, self.run, shown, show_progress="hidden", api_name="monitor_run", **AS_SENT
        )
        self.refresh.click(self.listed, self.run, self.listing, api_name="refresh", **AS_SENT)
        self.timer.tick(
            self._tick,
            [self.run, *self._texts],
            [self.run, *shown],
            show_progress="hidden",
            trigger_mode="once",
            queue=False,
            api_visibility="private",
        )
        self.board_start.click(
            lambda: "Starting; that takes some seconds.",
            None,
            self.board,
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        ).then(self._start_board, None, self._board_parts, api_name="start_tensorboard")
        self.board_stop.click(
            self._stop_board, None, self._board_parts, api_name="stop_tensorboard"
        )

    @property
    def listing(self) -> list[Any]:
        """What `listed` gives values for, whenever the page is loaded."""
        return [self.run, self.timer, *self._board_parts, *self._watched]

    def listed(self, chosen: str | None = None, request: gr.Request | None = None) -> list[Any]:
        """The runs there are, and the chosen one (or the newest) as it stands."""
        choices = run_choices(self._parts.reader())
        ids = [run_id for _, run_id in choices]
        run_id = chosen if chosen in ids else next(iter(ids), None)
        return [
            gr.update(choices=choices, value=run_id),
            gr.Timer(_TICK_S, active=True),
            *self._board_as_it_is(request),
            *self._look(run_id),
        ]

    def paused(self) -> Any:
        """The timer while another tab is looked at."""
        return gr.Timer(_TICK_S, active=False)

    # --- what happens -------------------------------------------------------------------------------

    def _look(self, run_id: str | None) -> list[Any]:
        return self._tick(run_id)[1:]

    def _tick(self, run_id: str | None, *shown: Any) -> list[Any]:
        """The first run when none was there before; of it and the health what differs from what is shown."""
        reader = self._parts.reader()
        view = find_run(reader, run_id)
        choices = run_choices(reader) if view is None else []
        is_there = {"visible": view is not None}
        link: dict[str, Any] = {"visible": False}
        texts: list[Any] = ["", "", [], [], [], []]
        if view is not None:
            link = {"visible": True, "link": f"/#/run/{view.id}", "link_target": "_blank"}
            texts = self._run_texts(reader, view)
        empty = {"value": "" if view else _NO_RUNS, "visible": view is None}
        first = gr.update(choices=choices, value=choices[0][1]) if choices else gr.skip()
        texts.append(self._health())
        return [first, *changed(texts, [empty, is_there, is_there, link], shown)]

    def _run_texts(self, reader: HomeReader, view: RunView) -> list[Any]:
        """The values of `_texts` but the health's."""
        facts = view.facts
        return [
            snippets.picture(view.id, facts.rows),
            snippets.charts(view.id),
            summary_rows(view),
            value_rows(facts.summary),
            sink_rows(reader, view),
            value_rows(facts.run.config),
        ]

    def _health(self) -> list[list[str]]:
        return health_rows(health_document(self._studio.watch.look(self._parts.reader())))

    def _start_board(self, request: gr.Request | None = None) -> list[Any]:
        try:
            self._studio.tensorboard.start()
        except (NotStarted, MissingExtra, ExptrackError) as error:
            return [str(error), *self._board_as_it_is(request)[1:]]
        return self._board_as_it_is(request)

    def _stop_board(self, request: gr.Request | None = None) -> list[Any]:
        self._studio.tensorboard.stop()
        return self._board_as_it_is(request)

    def _board_as_it_is(self, request: gr.Request | None) -> list[Any]:
        """State, start, stop, open."""
        url = self._studio.tensorboard.url()
        if url is None:
            off = gr.update(interactive=False)
            return [_BOARD_OFF, gr.update(interactive=True), off, gr.update(visible=False)]
        host = request.headers.get("host", "") if request is not None else ""
        address = other_name(url, host)
        return [
            f"TensorBoard runs at {address}",
            gr.update(interactive=False),
            gr.update(interactive=True),
            gr.update(visible=True, link=address, link_target="_blank"),
        ]
