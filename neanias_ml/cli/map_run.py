"""One run over one map: what `extract` and `detect` have in common before and after their own work."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from jsonargparse import ArgumentParser, Namespace

from neanias_ml.catalogue import ModelIdentity, OutputDirectory, RunRecord, write_catalogue
from neanias_ml.catalogue.write import refuse_input_as_output
from neanias_ml.catalogue.writers import require_parquet
from neanias_ml.cli.map_options import finder_of, open_map, supplied_noise
from neanias_ml.cli.options import parse_options, require_output
from neanias_ml.cli.progress import ProgressLine
from neanias_ml.cli.report import configuration, print_summary
from neanias_ml.extraction import Extraction
from neanias_ml.inference.objects import ObjectCatalogue


@dataclass(frozen=True)
class NetworkUse:
    """The networks of a run, what they have to say of the map, and what they counted."""

    models: tuple[ModelIdentity, ...] = ()
    warnings: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


class MapRun:
    """Reads the options, checks the output folder before any work is done, and writes the results.

    Parameters
    ----------
    verb
        Name of the verb.
    parser
        Its parser, with map, result and ``--finder`` options.
    arguments
        The words after the verb.
    """

    def __init__(self, verb: str, *, parser: ArgumentParser, arguments: list[str]) -> None:
        self.started = datetime.now(UTC)
        self.command = ("neanias-ml", verb, *arguments)
        self.options: Namespace = parse_options(parser, arguments)
        self.output = require_output(self.options)
        OutputDirectory(self.output, overwrite=self.options.overwrite)
        for given in (self.options.map, self.options.noise_map, self.options.background_map):
            if given is not None:
                refuse_input_as_output(given, self.output)
        if self.options.parquet:
            require_parquet()
        self.finder = finder_of(parser, self.options)
        self.configuration = configuration(self.options)
        self.progress = ProgressLine(quiet=self.options.quiet)

    def extract(self) -> Extraction:
        """Open the map that the options name and find what is in it."""
        radio_map = open_map(self.options)
        return self.finder(radio_map, noise=supplied_noise(self.options, radio_map), progress=self.progress)

    def write(
        self,
        extraction: Extraction,
        *,
        catalogue: ObjectCatalogue | None = None,
        timings: Mapping[str, float] | None = None,
        networks: NetworkUse | None = None,
    ) -> None:
        """Write all files, and say where to look first.

        Parameters
        ----------
        extraction, catalogue
            What was found; no catalogue after ``extract``.
        timings
            Seconds of the stages after extraction.
        networks
            The networks that were used; none after ``extract``.
        """
        use = networks or NetworkUse()
        options = self.options
        run = RunRecord(
            command=self.command,
            configuration=self.configuration,
            timings={**self.finder.timings, **(timings or {})},
            models=use.models,
            seed=options.seed,
            started=self.started,
            warnings=(*extraction.radio_map.notes, *use.warnings),
            counts=use.counts,
        )
        self.progress("catalogue and pictures", 0, 1)
        files = write_catalogue(
            self.output,
            extraction=extraction,
            catalogue=catalogue,
            run=run,
            overwrite=options.overwrite,
            save_maps=options.save_maps,
            parquet=options.parquet,
            descriptors=options.descriptors,
            pictures=not options.no_pictures,
        )
        self.progress("catalogue and pictures", 1, 1)
        if not options.quiet:
            print_summary(extraction, catalogue, files, stream=sys.stdout)
