"""What `iap evaluate` does: references or a benchmark in, a folder of results out."""

import logging
from dataclasses import dataclass
from pathlib import Path

from iap_pipelines.evaluation.benchmark.generate import GenerationSettings, generate_clips
from iap_pipelines.evaluation.benchmark.schema import BenchmarkFolder
from iap_pipelines.evaluation.loading import load_models
from iap_pipelines.evaluation.references import missing_files, read_references, unlisted_videos
from iap_pipelines.evaluation.report.card_rows import write_card_rows
from iap_pipelines.evaluation.report.document import Document
from iap_pipelines.evaluation.report.files import write_results
from iap_pipelines.evaluation.run import Report, evaluate_clips
from iap_pipelines.evaluation.settings import EvaluationSettings


logger = logging.getLogger(__name__)


def evaluate_folder(
    videos: Path, references: Path, output: Path, settings: EvaluationSettings, *, report: Report | None = None
) -> Document:
    """Score clips that any system made.

    Args:
        videos: folder of the clips.
        references: CSV, see `read_references`.
        output: folder of the results; an interrupted run continues there.
        settings: models and thresholds.
        report: progress.

    Raises:
        FileNotFoundError: for a missing folder or file.
        ValueError: for a CSV or settings that cannot be used.
    """
    clips = read_references(references, videos)
    for path in unlisted_videos(clips, videos):
        logger.warning("%s is not scored: no row of %s names it", path, references)
    for path in missing_files(clips):
        logger.warning("%s does not exist, and %s names it; paths there are relative to the CSV", path, references)
    document = evaluate_clips(
        clips, output, load_models(settings), settings, title=videos.resolve().name, report=report
    )
    write_results(document, clips, output)
    return document


@dataclass(frozen=True, kw_only=True)
class BenchmarkRun:
    """How a benchmark is run.

    Args:
        benchmark: folder with `benchmark.yaml`.
        generation: model and options.
        settings: models and thresholds; ``None``: what the benchmark names, else the defaults.
    """

    benchmark: Path
    generation: GenerationSettings
    settings: EvaluationSettings | None = None


def evaluate_benchmark(run: BenchmarkRun, output: Path, *, report: Report | None = None) -> Document:
    """Generate every clip of a benchmark and score it.

    Args:
        run: what to do.
        output: folder of clips and results; an interrupted run continues there.
        report: progress.

    Raises:
        FileNotFoundError: for a missing folder or file.
        ValueError: for a benchmark or settings that cannot be used.
    """
    folder = BenchmarkFolder(run.benchmark)
    settings = run.settings or _settings_of(folder)
    models = load_models(settings)
    clips, generated = generate_clips(folder, run.generation, output, report=report)
    name = Path(run.generation.model).name
    title = f"{name} on {folder.benchmark.name} {folder.benchmark.version}"
    document = evaluate_clips(clips, output, models, settings, title=title, generated=generated, report=report)
    write_results(document, clips, output)
    dataset_id = folder.benchmark.dataset_id or folder.benchmark.name
    write_card_rows(document, output, model_name=name, dataset_id=dataset_id, dataset_name=folder.benchmark.name)
    return document


def _settings_of(folder: BenchmarkFolder) -> EvaluationSettings:
    if folder.benchmark.models is None:
        return EvaluationSettings()
    return EvaluationSettings.load(folder.folder / folder.benchmark.models)
