"""`SummaryWriter`, method by method: each does what it can with exptrack, or says once what it cannot."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from exptrack_agent.compat.tensorboard.places import default_log_dir
from exptrack_agent.compat.tensorboard.recorder import Recorder, kept_from_training, on_host
from exptrack_agent.exits import exit_code_of
from exptrack_agent.media import Figure, Histogram, Image, Table, Text
from exptrack_agent.notices import say_once
from exptrack_agent.run import Run
from exptrack_agent.values import is_on_accelerator


class SummaryWriter(Recorder):
    """Takes what `torch.utils.tensorboard.SummaryWriter` takes.

    Args:
        log_dir: folder of the event files; None: `runs/DATE_HOST` and the comment.
        comment: end of that name.
        purge_step: not needed: each writer is an attempt of its own, and readers show the latest.
        max_queue: not needed: nothing is queued in this process.
        flush_secs: not needed: rows are durable after some 50 ms.
        filename_suffix: not used: the daemon names the files.
        options: as for `exptrack_agent.init`, such as `project`, `sinks` or `tags`.

    Attributes:
        log_dir: as it was given.
        run: the `Run` underneath; None once the writer is closed.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
        **options: Any,
    ) -> None:
        super().__init__(os.fspath(log_dir) if log_dir else default_log_dir(comment), options)
        self.purge_step = purge_step
        self.max_queue, self.flush_secs = max_queue, flush_secs
        self.filename_suffix = filename_suffix

    @property
    def run(self) -> Run | None:
        """The `Run` underneath; None once the writer is closed."""
        return self._run

    def get_logdir(self) -> str:
        """Where the event files are."""
        return self.log_dir

    # --- numbers --------------------------------------------------------------------------------

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """Record a number. Without a step, the calls with this tag are counted."""
        if (
            type(scalar_value) is float
            and type(global_step) is int
            and walltime is None
            and self._log_scalar(tag, scalar_value, global_step)
        ):
            return
        self._add_row({tag: scalar_value}, self._step(tag, global_step), walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Record several numbers as `MAIN_TAG/TAG`, in one row instead of in one run each."""
        row = {f"{main_tag}/{tag}": value for tag, value in tag_scalar_dict.items()}
        self._add_row(row, self._step(main_tag, global_step), walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: Any = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """Record a distribution. The daemon bins it, unless `bins` are the edges themselves.

        A tensor on a GPU is binned there, and nothing waits; with edges of one's own it is copied at once.
        """
        has_edges = not isinstance(bins, str) and hasattr(bins, "__len__")
        if not has_edges and is_on_accelerator(values) and hasattr(values, "detach"):
            self._add_from_device(tag, values, global_step, walltime)
            return

        def make() -> Histogram:
            from exptrack_agent.compat.tensorboard.curves import binned

            if not has_edges:
                return Histogram(on_host(values))
            return Histogram(np_histogram=binned(values, bins))

        self._add(tag, make, global_step, walltime)

    def add_histogram_raw(  # noqa: PLR0913  # the arguments of the original, in its order
        self,
        tag: str,
        min: float,  # noqa: A002
        max: float,  # noqa: A002
        num: int,
        sum: float,  # noqa: A002
        sum_squares: float,
        bucket_limits: Sequence[float],
        bucket_counts: Sequence[float],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Record a distribution that is binned already.

        Raises:
            ValueError: there are not as many limits as counts.
        """
        if len(bucket_limits) != len(bucket_counts):
            raise ValueError("len(bucket_limits) != len(bucket_counts), see the document.")

        def make() -> Histogram:
            from exptrack_agent.compat.tensorboard.curves import raw_bins

            return Histogram(np_histogram=raw_bins(min, max, bucket_limits, bucket_counts))

        self._add(tag, make, global_step, walltime)

    def add_tensor(
        self, tag: str, tensor: Any, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Record a tensor's distribution; of one number, the number."""
        if getattr(tensor, "ndim", 0) == 0:
            self.add_scalar(tag, tensor, global_step, walltime)
            return
        say_once("tb tensor", "add_tensor: the distribution of a tensor is kept, not the tensor")
        self.add_histogram(tag, tensor, global_step, walltime=walltime)

    def add_hparams(
        self,
        hparam_dict: dict[str, Any],
        metric_dict: dict[str, Any],
        hparam_domain_discrete: Mapping[str, Any] | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """Record hyperparameters and their metrics, in this run and not in one below it.

        Raises:
            TypeError: they are not dictionaries.
        """
        if type(hparam_dict) is not dict or type(metric_dict) is not dict:
            raise TypeError("hparam_dict and metric_dict should be dictionary.")
        run = self._opened()
        run.log_hparams(hparam_dict, metric_dict)
        run.config.update(hparam_dict)

    # --- pictures -------------------------------------------------------------------------------

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """Record a picture."""

        def make() -> Image:
            from exptrack_agent.compat.tensorboard.pictures import as_picture

            return Image(as_picture(img_tensor, dataformats))

        self._add(tag, make, global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """Record a batch of pictures as one, eight in a row."""
        self.add_image(tag, img_tensor, global_step, walltime, dataformats)

    def add_image_with_boxes(  # noqa: PLR0913  # the arguments of the original, in its order
        self,
        tag: str,
        img_tensor: Any,
        box_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        rescale: float = 1,
        dataformats: str = "CHW",
        labels: Sequence[str] | str | None = None,
    ) -> None:
        """Record a picture with boxes drawn into it (needs Pillow)."""
        named = [labels] if isinstance(labels, str) else labels

        def make() -> Image:
            from exptrack_agent.compat.tensorboard.pictures import as_picture, resized, with_boxes

            fitting = named if named is not None and len(named) == len(box_tensor) else None
            picture = with_boxes(as_picture(img_tensor, dataformats), box_tensor, fitting)
            return Image(resized(picture, rescale))

        self._add(tag, make, global_step, walltime)

    def add_figure(
        self,
        tag: str,
        figure: Any,
        global_step: int | None = None,
        close: bool = True,
        walltime: float | None = None,
    ) -> None:
        """Record a matplotlib figure; several as `TAG/0`, `TAG/1` and so on."""
        figures = list(figure) if isinstance(figure, list | tuple) else [figure]
        step = self._step(tag, global_step)
        for number, one in enumerate(figures):
            name = tag if len(figures) == 1 else f"{tag}/{number}"
            self._add(name, partial(Figure, one), step, walltime)
        pyplot = sys.modules.get("matplotlib.pyplot")
        if close and pyplot is not None:
            for one in figures:
                pyplot.close(one)

    def add_video(
        self,
        tag: str,
        vid_tensor: Any,
        global_step: int | None = None,
        fps: float = 4,
        walltime: float | None = None,
    ) -> None:
        """Record up to eight frames of each video, as one picture."""
        say_once("tb video", "add_video: eight frames of a video are kept, as one picture")

        def make() -> Image:
            from exptrack_agent.compat.tensorboard.pictures import as_strip

            return Image(as_strip(vid_tensor), caption=f"frames of a video at {fps} a second")

        self._add(tag, make, global_step, walltime)

    # --- texts, tables, graphs ------------------------------------------------------------------

    def add_text(
        self,
        tag: str,
        text_string: str,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Record a text."""
        self._add(tag, lambda: Text(text_string), global_step, walltime)

    def add_audio(
        self,
        tag: str,
        snd_tensor: Any,
        global_step: int | None = None,
        sample_rate: int = 44_100,
        walltime: float | None = None,
    ) -> None:
        """Record that there was a sound, and how long."""
        say_once("tb audio", "add_audio: sounds are not kept; a text says how long they were")
        samples = int(getattr(snd_tensor, "shape", [0])[-1])
        seconds = samples / sample_rate
        text = f"A sound of {seconds:.2f} s ({samples:,} samples), not kept."
        self._add(tag, lambda: Text(text), global_step, walltime)

    def add_pr_curve(  # noqa: PLR0913  # the arguments of the original, in its order
        self,
        tag: str,
        labels: Any,
        predictions: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Record precision and recall by threshold, as a table."""

        def make() -> Table:
            from exptrack_agent.compat.tensorboard.curves import CURVE_COLUMNS, precision_recall

            rows = precision_recall(labels, predictions, num_thresholds, weights)
            return Table(rows, CURVE_COLUMNS)

        self._add_curve(tag, make, global_step, walltime)

    def add_pr_curve_raw(  # noqa: PLR0913  # the arguments of the original, in its order
        self,
        tag: str,
        true_positive_counts: Any,
        false_positive_counts: Any,
        true_negative_counts: Any,
        false_negative_counts: Any,
        precision: Any,
        recall: Any,
        global_step: int | None = None,
        num_thresholds: int = 127,
        weights: Any = None,
        walltime: float | None = None,
    ) -> None:
        """Record precision and recall that are there already, as a table."""
        counts = (true_positive_counts, false_positive_counts)
        others = (true_negative_counts, false_negative_counts, precision, recall)

        def make() -> Table:
            from exptrack_agent.compat.tensorboard.curves import CURVE_COLUMNS, raw_curve

            return Table(raw_curve(*counts, *others), CURVE_COLUMNS)

        self._add_curve(tag, make, global_step, walltime)

    def add_graph(
        self,
        model: Any,
        input_to_model: Any = None,
        verbose: bool = False,
        use_strict_trace: bool = True,
    ) -> None:
        """Record a model's graph, as one forward pass shows it."""
        with kept_from_training("add_graph"):
            from exptrack_agent.torch import architecture

            sample = tuple(input_to_model) if isinstance(input_to_model, list) else input_to_model
            nodes = architecture.describe(model, sample)["nodes"]
            if nodes:
                architecture.put_graph(self._opened(), nodes)
            else:
                say_once(
                    "tb graph", "add_graph: there is no graph without a sample input that works"
                )

    # --- what exptrack has no place for -----------------------------------------------------------

    def add_embedding(self, *_arguments: Any, **_keywords: Any) -> None:
        """Not kept; said once."""
        _is_not_kept("add_embedding", "embeddings")

    def add_mesh(self, *_arguments: Any, **_keywords: Any) -> None:
        """Not kept; said once."""
        _is_not_kept("add_mesh", "meshes")

    def add_onnx_graph(self, *_arguments: Any, **_keywords: Any) -> None:
        """Not kept; said once."""
        _is_not_kept("add_onnx_graph", "ONNX graphs", "add_graph takes the model")

    def add_custom_scalars(self, *_arguments: Any, **_keywords: Any) -> None:
        """Not kept; said once."""
        _is_not_kept("add_custom_scalars", "layouts of charts", "the numbers are")

    def add_custom_scalars_multilinechart(self, *_arguments: Any, **_keywords: Any) -> None:
        """Not kept; said once."""
        self.add_custom_scalars()

    def add_custom_scalars_marginchart(self, *_arguments: Any, **_keywords: Any) -> None:
        """Not kept; said once."""
        self.add_custom_scalars()

    # --- the end --------------------------------------------------------------------------------

    def flush(self) -> None:
        """Wait (5 s at most) until all is durable in the daemon's journal."""
        if self._run is not None:
            self._run.flush()

    def close(self) -> None:
        """End the run. Whatever is added later opens it again, as with the original."""
        self._close(0)

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close(exit_code_of(error))

    # --- inside ---------------------------------------------------------------------------------

    def _add_curve(
        self, tag: str, make: Callable[[], Any], step: int | None, walltime: float | None
    ) -> None:
        say_once("tb curve", "add_pr_curve: the curve is kept as a table of its points")
        self._add(tag, make, step, walltime)


def _is_not_kept(method: str, what: str, but: str = "") -> None:
    say_once(f"tb {method}", f"{method}: {what} are not kept" + (f"; {but}" if but else ""))
