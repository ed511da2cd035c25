"""The three tabs put together: what they share, and what each shows when a page is loaded."""

from __future__ import annotations

from typing import Any

import gradio as gr

from exptrack_daemon.web.state import Studio
from exptrack_daemon.web.studio.configuration import ConfigurationTab
from exptrack_daemon.web.studio.jobs import Jobs
from exptrack_daemon.web.studio.monitoring import MonitoringTab
from exptrack_daemon.web.studio.parts import Parts
from exptrack_daemon.web.studio.training import TrainingTab


def build_tabs(studio: Studio, jobs: Jobs) -> Any:
    """The `Blocks`. Handlers run in Gradio's threads, never in the loop that serves."""
    parts = Parts(studio.home.path, jobs)
    with gr.Blocks(title="exptrack studio", analytics_enabled=False, fill_width=True) as blocks:
        with gr.Tabs(elem_classes="xt-tabs"):
            with gr.Tab(
                "Configuration", id="configuration", elem_id="xt-tab-configuration"
            ) as configuration_tab:
                configuration = ConfigurationTab(parts)
            with gr.Tab("Training", id="training", elem_id="xt-tab-training") as training_tab:
                training = TrainingTab(parts, configuration.form)
            with gr.Tab(
                "Monitoring", id="monitoring", elem_id="xt-tab-monitoring"
            ) as monitoring_tab:
                monitoring = MonitoringTab(parts, studio)
        quiet = {"show_progress": "hidden", "api_visibility": "private"}
        blocks.load(configuration.listed, None, configuration.listing, **quiet)
        blocks.load(training.listed, None, training.listing, **quiet)
        training_tab.select(training.listed, training.script, training.listing, **quiet)
        for tab in (configuration_tab, training_tab):  # what nobody sees asks for nothing
            tab.select(monitoring.paused, None, monitoring.timer, **quiet)
        monitoring_tab.select(monitoring.listed, monitoring.run, monitoring.listing, **quiet)
    return blocks
