"""One image on its way into its run folder: what is left to do, what is done, the end."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from nuguide.export.pieces import Writer, write_together
from nuguide.export.table import write_table
from nuguide.models.model import Model
from nuguide.networks.allocator import give_back_memory
from nuguide.nuclei.staining import Staining, second_stain_of
from nuguide.segmentation.area import Area, Where, find_area, why_nothing
from nuguide.segmentation.estimate import open_scaled
from nuguide.segmentation.finished import complete, why_again
from nuguide.segmentation.grading import differs_in_thresholds
from nuguide.segmentation.joiner import Fragment, Joiner
from nuguide.segmentation.joining import ArrayCanvas, join
from nuguide.segmentation.label_files import opened_canvas, pyramid_of, write_label_files
from nuguide.segmentation.ledger import Ledger, remove_ledger, sweep
from nuguide.segmentation.outputs import (
    MADE_OF_NUCLEI,
    NUCLEI_FILE,
    Outputs,
    nuclei_writers,
    searched_mm2,
    write_outputs,
    write_page,
)
from nuguide.segmentation.place import check_place, claim
from nuguide.segmentation.planning import Cut, cut_for, plan
from nuguide.segmentation.record import (
    RUN_FILE,
    Configuration,
    check_folder,
    configuration_of,
    record_of,
    write_record,
)
from nuguide.segmentation.region import Piece, Task
from nuguide.segmentation.result import Run
from nuguide.segmentation.summary import summary
from nuguide.slides.reader import Slide
from nuguide.slides.regions import Region
from nuguide.units import AskedMpp

_FREED_EVERY = 8
"""Regions after which holes between what is kept are given back; it takes under 1 % of the time."""


@dataclass(frozen=True)
class Settings:
    """What a user chooses for all images of a command.

    Attributes
    ----------
    mpp : float or "estimate", optional
        um/px, which win over the images' own; or an estimate for images that tell none.
    where : Where
        Which part of the images is looked at.
    cut : Cut
        How images are cut into regions.
    outputs : Outputs
        Which files there shall be.
    overwrite : bool
        Whether another run in a folder is replaced, and a run that was begun is begun anew.
    staining : Staining
        What is measured of the stains, and what counts as positive.
    """

    mpp: AskedMpp | None = None
    where: Where = field(default_factory=Where)
    cut: Cut = field(default_factory=Cut)
    outputs: Outputs = field(default_factory=Outputs)
    overwrite: bool = False
    staining: Staining = field(default_factory=Staining)


def begin(image: Path, folder: Path, model: Model, settings: Settings) -> "Job | Run":
    """Open an image and its run folder.

    Returns
    -------
    Job or Run
        What is left to do; the finished run where nothing is, after what was missing of its files
        was made of its nuclei, and these were graded anew where other thresholds are asked for.

    Raises
    ------
    InputError
        If the image cannot be read.
    OutputError
        If the folder cannot be written, holds another run, or writing there would spoil the image:
        before any work is done.
    """
    check_place([image], [folder])
    slide = open_scaled(image, settings.mpp, model)
    try:
        cut = cut_for(model, settings.cut)
        area = find_area(slide, settings.where)
        slide.forget()  # a mask of a large slide took ten times its size to make
        regions = asdict(cut) | area.configuration()
        configuration = configuration_of(slide, model, regions, settings.staining)
        anew = settings.overwrite or differs_in_thresholds(folder, configuration)
        check_folder(folder, configuration, overwrite=anew)
        files = settings.outputs.files(slide, area.mask)
        finished = not settings.overwrite and (folder / RUN_FILE).is_file()
        again = why_again(folder, configuration, slide, files) if finished else ""
        if finished and not again:
            made = complete(folder, configuration, slide, files, area, model.card.types)
            remove_ledger(folder)  # the run may have been stopped just before it did
            slide.close()
            return Run(folder, (*files, RUN_FILE), resumed=True, made=made)
        chosen = plan(slide, model, cut, area.mask)
        ledger = claim(folder, configuration, files, overwrite=settings.overwrite)
        staining = settings.staining
        return Job(
            slide, folder, model, ledger, configuration, area, chosen, files, staining, again
        )
    except BaseException:
        slide.close()
        raise


class Job:
    """An image that is being segmented into its run folder.

    Attributes
    ----------
    slide : Slide
        The image.
    regions : int
        Regions in all.
    nuclei : int
        Nuclei that the regions done so far claim.
    under_way : int
        Regions that were given out and have not come back.
    closed : bool
        Whether it has ended.
    why_again : str
        Why it is segmented again though its run was finished; empty if it was not.
    """

    def __init__(
        self,
        slide: Slide,
        folder: Path,
        model: Model,
        ledger: Ledger,
        configuration: Configuration,
        area: Area,
        plan: list[Region],
        files: tuple[str, ...],
        staining: Staining,
        why_again: str = "",
    ) -> None:
        self.slide = slide
        self.why_again = why_again
        self.regions = len(plan)
        self._folder, self._configuration = folder, configuration
        self._card, self._backend = model.card, model.backend
        self._area, self._plan, self._files = area, plan, files
        self._staining = staining
        self._ledger = ledger
        sweep(folder)  # the ledger is ours: nobody else is writing
        done = ledger.done()
        self._joiner = Joiner(plan, ledger.nuclei, self._write_joined)
        self._joiner.done(done, start=False)
        self.nuclei = sum(done.values())
        self._left = {region.index for region in plan if region.index not in done}
        self._last = time.perf_counter()
        self.under_way = 0
        self.closed = False

    @property
    def done(self) -> int:
        """Regions that are done."""
        return self.regions - len(self._left)

    @property
    def complete(self) -> bool:
        """Whether all regions are done."""
        return not self._left

    def tasks(self) -> Iterator[Task]:
        """Give the regions that are left, in order, until the job is closed."""
        for region in self._plan:
            if self.closed:
                return
            if region.index in self._left:
                self.under_way += 1
                yield Task(self.slide, region, self._staining)

    def came_back(self) -> None:
        """Take note that a region is no longer under way, whatever became of it."""
        self.under_way -= 1
        self._close_slide()

    def add(self, region: Region, piece: Piece, *, elsewhere: bool = False) -> None:
        """Keep what a region gave, and go on joining where that is no burden.

        Parameters
        ----------
        region, piece
            What was computed, and what it gave.
        elsewhere : bool
            Whether regions are computed by others than this process's cores. Where they are not, a
            whole slide is joined at its end: what is joined would lie scattered among the maps of
            its regions, which so took a fifth more memory.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        now = time.perf_counter()
        nuclei = self._area.of(piece.nuclei, self.slide.mpp)
        self._ledger.add(region.index, replace(piece, nuclei=nuclei), now - self._last)
        self._joiner.done([region.index], start=elsewhere or not self.slide.streams)
        self._last = now
        self._left.discard(region.index)
        self.nuclei += nuclei.num_rows
        if self.done % _FREED_EVERY == 0:
            give_back_memory()

    def finish(self) -> Run:
        """Join the regions' nuclei and write the files of the folder.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        start = time.perf_counter()
        painted = self._joiner.outcome()
        waited = time.perf_counter() - start
        self.slide.forget()
        if self.slide.streams:
            give_back_memory()
        write_outputs(
            self._folder,
            self.slide,
            [name for name in self._files if name not in MADE_OF_NUCLEI],
            painted,
            self._card.types,
            second_stain_of(self._configuration),
            self._area.mask,
        )
        tally = self._ledger.tally()
        seconds = time.perf_counter() - start
        # What was joined while regions were computed is work, too, though nobody waited for it.
        stages = tally.stages | {"export": seconds - waited + self._joiner.seconds}
        found = summary(self._folder, self._card.types, self._staining.positive) | {
            "area_mm2": round(searched_mm2(self.slide, self._area.mask), 6),
            "seconds": round(tally.wall + seconds, 3),
            "stages": {stage: round(spent, 3) for stage, spent in stages.items()},
        }
        if not found["nuclei"]:
            found["reason"] = why_nothing(self.slide, self._area)
        if self.slide.warnings:
            found["warnings"] = list(self.slide.warnings)
        record = record_of(self._configuration, found, self._card, self._backend)
        write_page(self._folder, self.slide, record, self._card.types, self._area.mask)
        write_record(self._folder, record)
        self._ledger.close()
        remove_ledger(self._folder)
        return Run(self._folder, (*self._files, RUN_FILE), why_again=self.why_again)

    def _write_joined(self, fragments: Iterable[Fragment]) -> Path | None:
        """Join the regions' nuclei, paint and write them.

        Return where the labels of a whole slide were painted, of which their files are still to be
        made; None where they lay in memory, and are written.
        """
        second_stain = second_stain_of(self._configuration)
        writers: list[Writer] = [
            lambda pieces: write_table(pieces, self._folder / NUCLEI_FILE),
            *nuclei_writers(self._folder, self.slide, self._files, self._card.types, second_stain),
        ]
        with opened_canvas(self._folder, self.slide, self._files) as canvas:
            labels = canvas.labels if isinstance(canvas, ArrayCanvas) else None
            write_together(
                join(fragments, self.slide.mpp / self._card.mpp, canvas),
                writers,
                lambda: write_label_files(self._folder, self.slide, self._files, labels),
            )
        return pyramid_of(self._folder, self._files) if labels is None else None

    def close(self) -> None:
        """Let go of the folder, and of the image once nobody reads it; what is done stays done."""
        self.closed = True
        self._joiner.stop()
        self._ledger.close()
        self._close_slide()

    def _close_slide(self) -> None:
        if self.closed and not self.under_way:
            self.slide.close()
