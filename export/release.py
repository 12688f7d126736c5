"""Export of the next release: every model into Triton's repository, everything else into one folder."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from export.approximate_retriever import choose, export_approximate
from export.explored import explored_arrays
from export.graphs.parity import ParityRow
from export.installed_encoders import install_encoders
from export.item_content import content_arrays
from export.item_map import explored_items
from export.kept import increment_of, keep_for_training
from export.repository import export_model
from export.triton.version import MODEL_FILE
from winnow import provenance, release
from winnow.arrays.strings import Strings
from winnow.datasets import profile
from winnow.datasets.canonical import account
from winnow.datasets.canonical.dataset import HOLDOUT, Dataset
from winnow.encoders.preparation import INPUTS_FILE, TOKENIZER_FILE
from winnow.evaluation.held_out import moments, outcomes
from winnow.features.catalog_columns import column_arrays
from winnow.features.columns import padded_strings
from winnow.features.point_in_time import PointInTime
from winnow.features.row import tower_inputs
from winnow.features.table import FeatureSet
from winnow.items import columns
from winnow.items.arrays import id_arrays
from winnow.lifecycle.claims import TRAINING
from winnow.models.nearest import nearest_items
from winnow.models.ranker_graph import RankerGraph
from winnow.models.scan import Scan, scan_of
from winnow.models.served import ServedItemTower, ServedRetriever, ServedUserTower
from winnow.models.towers import Shapes
from winnow.provenance import BUILD, BuildRecord, Stopwatch
from winnow.ranking.context import SourceList, UserPast, context_features, without_hidden
from winnow.release import Release
from winnow.retrieval.history import assemble_many, user_tensors
from winnow.retrieval.item_orders import ItemOrders
from winnow.settings import business_rules
from winnow.signatures import ITEM_TOWER, RANKER, RETRIEVER, USER_TOWER
from winnow.training.ranker.trained import TrainedRanker
from winnow.training.retriever.train import RetrieverTraining
from winnow.training.retriever.trained import TrainedRetriever
from winnow.training.tables.source_tables import SourceTables
from winnow.training.train import RESULT, TrainingResult, used_settings

BOUND = 1e-3
"""Largest absolute difference from PyTorch that a score may have; scores are logits of some tens."""

_SAMPLES = 32
_QUERIES = 200
"""Users whose lists decide on an approximate search."""

_TITLE = 80


@dataclass(frozen=True)
class TrainedParts:
    """Folders that the pipelines' steps wrote; each step recorded its inputs (:mod:`winnow.provenance`) in its own.

    Attributes:
        dataset: canonical tables, and the held-out events where there are any.
        encoders: encoders in their ONNX form.
        features: the feature set.
        retriever: the retriever, the sources' tables and the training settings.
        ranker: the ranker.
    """

    dataset: Path
    encoders: Path
    features: Path
    retriever: Path
    ranker: Path


@dataclass(frozen=True)
class ExportedRelease:
    """The result of :func:`export_release`.

    Attributes:
        release: the release.
        parity: per model other than an encoder, how its ONNX form compares with PyTorch.
    """

    release: Release
    parity: list[ParityRow]


def export_release(parts: TrainedParts, home: Path, number: int, show_progress: bool = False) -> ExportedRelease:
    """Export every model, prove each equal to PyTorch, and write a release.

    An export that fails leaves nothing behind but the claim to its number.

    Args:
        parts: what was trained.
        home: holds ``releases/``, ``model_repository/`` and ``training/``.
        number: of the release, claimed with :func:`winnow.lifecycle.claims.claim`.
        show_progress: show a bar.

    Raises:
        ParityError: an exported model's outputs differ from PyTorch's.
    """
    repositories, releases = home / "model_repository", home / "releases"
    watch = Stopwatch("release")
    repository = repositories / str(number)
    features = FeatureSet.load(parts.features)
    retrieval = RetrieverTraining.load(parts.retriever)
    retriever = retrieval.served
    ranker = TrainedRanker.load(parts.ranker)
    dataset = Dataset.load(parts.dataset, events=False)
    hides_history = features.schema.repeats != "allow"
    vectors = retriever.item_vectors
    settings = used_settings(parts.retriever)
    index = settings.index
    scan = None if index.kind == "milvus" else scan_of(vectors, index.vectors)
    served = ServedRetriever(retriever.user_tower, vectors, ranker.candidates.retriever, hides_history, scan)
    served.eval()
    inputs = _inputs(features, retriever.settings.history_length, _SAMPLES)
    try:
        with (
            ExitStack() as exits,
            _shared(vectors, scan, home) as shared,
            tqdm(total=4, desc="export", unit="model", disable=not show_progress) as bar,
        ):
            asked = _inputs(features, retriever.settings.history_length, _QUERIES)
            folder = shared["item_vectors"].parent
            choice = choose(index, served, asked, folder, retriever.settings.seed, show_progress)
            if index.kind == "milvus":
                user_tower = ServedUserTower(retriever.user_tower, vectors)
                rows = [export_model(user_tower, USER_TOWER, number, repository, inputs, BOUND, shared)]
            elif choice.file is None:
                rows = [export_model(served, RETRIEVER, number, repository, inputs, BOUND, shared)]
            else:
                rows = [export_approximate(served, choice, number, repository, inputs, BOUND, shared)]
            bar.update()
            ranked = inputs | _candidates(features, served, inputs)
            graph = RankerGraph(ranker.model)
            rows.append(export_model(graph, RANKER, number, repository, ranked, BOUND, shared, ranker.model))
            bar.update()
            tower = ServedItemTower(retriever.item_tower, retriever.shapes, vectors, served.candidates, scan)
            new_items = _item_inputs(features, retriever.shapes)
            rows.append(export_model(tower.eval(), ITEM_TOWER, number, repository, new_items, BOUND, shared))
            bar.update()
            encoders = install_encoders(parts.encoders, number, repository)
            bar.update()
            training = home / TRAINING / str(number)
            kept = exits.enter_context(keep_for_training(parts.encoders, retrieval, ranker, training))
            item_columns, described = column_arrays(dataset.items, dataset.spec.items)
            source = provenance.recorded(parts.dataset, parts.encoders, parts.retriever)
            explored, located = explored_arrays(dataset.items, features.user_ids, source, home)
            written = release.write(
                releases / str(number),
                _arrays(features, retriever, SourceTables.load(parts.retriever), dataset, parts.dataset / HOLDOUT)
                | item_columns
                | content_arrays(features, retriever)
                | explored,
                _json_files(parts)
                | located
                | {columns.FILE: described}
                | {profile.FILE: data_profile(features, dataset, parts.dataset / HOLDOUT).model_dump_json(indent=1)}
                | {BUILD: _build(parts, watch).model_dump_json(indent=1)}
                | ({business_rules.FILE: source.rules} if source.rules else {}),
                linked=[*shared.values(), *([choice.file] if choice.file else [])],
                index=choice.figures,
                number=number,
                dataset=dataset.spec.name,
                source=source,
                holdout="last" if (parts.dataset / HOLDOUT).exists() else "none",
                as_of=features.as_of,
                user_changes=account.last_user_change(parts.dataset),
                history_length=retriever.settings.history_length,
                candidates=ranker.candidates.model_dump(),
                training=settings.model_dump(),
                schema_digest=features.schema.digest,
                increment=increment_of(parts.retriever),
                training_files=kept,
                models={row.model: release.sha256(repository / row.model / str(number) / MODEL_FILE) for row in rows}
                | {row.model: row.sha256 for row in encoders},
                unranked=ranker.unranked_reason,
                constant_heads=ranker.constant_heads,
                catalog_position=account.catalog_position(parts.dataset),
                parity={row.model: row.difference for row in rows} | {row.model: 1 - row.worst for row in encoders},
            )
        return ExportedRelease(written, rows)
    except BaseException:
        shutil.rmtree(repository, ignore_errors=True)
        raise


@contextmanager
def _shared(item_vectors: Tensor, scan: Scan | None, home: Path) -> Iterator[dict[str, Path]]:
    """The files of the item vectors, which the models and the release link to."""
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=home) as folder:
        scanned = {} if scan is None else {f"scan.{name}": array for name, array in scan.named_buffers()}
        arrays = {"item_vectors": item_vectors} | scanned
        files = {name: Path(folder) / f"{name.replace('.', '_')}.npy" for name in arrays}
        for name, array in arrays.items():
            np.save(files[name], array.numpy(), allow_pickle=False)
        yield files


def _inputs(features: FeatureSet, length: int, count: int) -> dict[str, Tensor]:
    """The history and user tensors of users from all parts of the log."""
    log = features.interactions
    active = np.flatnonzero(np.diff(log.offsets) > 0)
    users = active[:: -(-len(active) // count)]
    starts, ends = log.offsets[users], log.offsets[users + 1]
    history = assemble_many(log.item, log.event, log.timestamp, starts, ends, length)
    arrays = user_tensors(history, features.user_rows[users])
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _candidates(features: FeatureSet, retriever: ServedRetriever, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The ranker's further tensors, for the retriever's candidates."""
    with torch.inference_mode():
        found, scores, _ = retriever(*inputs.values())
    items = found.numpy()
    context = np.stack(
        [
            context_features(
                row, {"retriever": without_hidden(SourceList(row, its))}, _past(features, history[history > 0], row)
            )
            for row, its, history in zip(items, scores.numpy(), inputs["history_items"].numpy(), strict=True)
        ]
    )
    rows = features.item_rows[items]
    return {
        "candidate_items": found.clone(),
        "candidate_categorical": torch.from_numpy(np.ascontiguousarray(rows["categorical"])),
        "candidate_numeric": torch.from_numpy(np.concatenate([rows["numeric"], context], axis=2)),
        "fresh_vectors": retriever.item_vectors[1:2].unsqueeze(0).repeat(len(items), 1, 1),
    }


def _past(features: FeatureSet, history: NDArray[np.int32], candidates: NDArray[np.int32]) -> UserPast:
    """The past of a user whose events all happened at the end of the log."""
    return UserPast(history, np.full(len(history), features.as_of), np.isin(candidates, history))


def _item_inputs(features: FeatureSet, shapes: Shapes) -> dict[str, Tensor]:
    """The item tower's tensors of the first items, as if they were new."""
    some = np.arange(1, min(_SAMPLES, features.items) + 1)
    categorical, numeric = map(torch.from_numpy, tower_inputs(features.item_rows[some]))
    parts = [torch.from_numpy(features.embeddings[modality][some]) for modality in shapes.modalities]
    embeddings = torch.cat(parts, dim=1) if parts else torch.zeros(len(categorical), 1)
    return {"item_categorical": categorical, "item_numeric": numeric, "embeddings": embeddings}


def _arrays(
    features: FeatureSet, retriever: TrainedRetriever, tables: SourceTables, dataset: Dataset, holdout: Path
) -> dict[str, NDArray[Any] | Strings]:
    log = features.interactions
    arrays: dict[str, NDArray[Any] | Strings] = {
        **id_arrays(features.item_ids),
        "item_titles": padded_strings(dataset.items["title"], _TITLE),
        "item_rows": features.item_rows,
        "item_modalities": features.modalities,
        "user_ids": features.user_ids,
        "user_rows": features.user_rows,
        "offsets": log.offsets,
        "item": log.item,
        "event": log.event,
        "timestamp": log.timestamp,
        "grade": log.grade,
        **tables.arrays(),
        **ItemOrders.of(features.item_rows, features.schema).arrays(),
        **explored_items(retriever.item_vectors.numpy(), log.item, retriever.settings.seed),
        "nearest": nearest_items(retriever.item_vectors, device="cuda" if torch.cuda.is_available() else "cpu"),
    }
    if holdout.exists():
        held = PointInTime.of(replace(dataset, events=pq.read_table(holdout))).log
        arrays["holdout"] = outcomes(held, features.schema.event_windows_ms)
        arrays["holdout_moments"] = moments(held)
    return arrays


def _json_files(parts: TrainedParts) -> dict[str, str]:
    files = {name: (parts.features / name).read_text() for name in ("schema.json", "vocabularies.json")}
    described = [parts.encoders / name for name in (INPUTS_FILE, TOKENIZER_FILE)]
    return files | {path.name: path.read_text() for path in described if path.exists()}


def data_profile(features: FeatureSet, dataset: Dataset, holdout: Path) -> profile.DataProfile:
    """The profile of the data that a build read. Held-out events count, so that both builds of one data set have one.

    Args:
        features: the feature set.
        dataset: the canonical tables, whose events are not read.
        holdout: file of the held-out events; it may be missing.
    """
    log, names = features.interactions, features.schema.events
    counts, newest = np.bincount(log.event, minlength=len(names) + 1)[1:], int(log.timestamp.max())
    item_events = np.bincount(log.item, minlength=features.items + 1)[1:]
    if holdout.exists():
        held = pq.read_table(holdout, columns=["event", "timestamp", "item_id"])
        counts = counts + [pc.sum(pc.equal(held["event"], name)).as_py() or 0 for name in names]
        newest = max(newest, pc.max(held["timestamp"]).as_py() or 0)
        rows = pc.index_in(held["item_id"], dataset.items["item_id"].combine_chunks()).drop_null().to_numpy()
        item_events = item_events + np.bincount(rows, minlength=features.items)
    event_types = dict(zip(names, counts.tolist(), strict=True))
    return profile.DataProfile.of(dataset, event_types, newest, features.embeddings, item_events)


def _build(parts: TrainedParts, watch: Stopwatch) -> BuildRecord:
    """How the parts were trained, and what the steps took; of the export, until now."""
    trained = TrainingResult.model_validate_json((parts.retriever / RESULT).read_bytes())
    steps = provenance.costs(parts.dataset, parts.encoders, parts.features, parts.retriever)
    return BuildRecord(curves=trained.curves, steps=[*steps, watch.read()])
