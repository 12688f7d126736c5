"""``winnow plan``: what a deployment of a given size needs and costs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from winnow.cli.options import Json
from winnow.planning.workload import INDEXES, MODALITIES, Index, Modality, Workload, WorkloadError

if TYPE_CHECKING:
    from rich.table import Table

    from winnow.planning.capacity import Plan
    from winnow.planning.figures import Figure
    from winnow.planning.prices import Prices
    from winnow.planning.units import Units


def plan(
    users: Annotated[int, typer.Option(help="Users with a history.")],
    items: Annotated[int, typer.Option(help="Items of the catalog.")],
    rps: Annotated[float, typer.Option(help="Recommendations a second at the busiest time.")],
    events: Annotated[
        float | None, typer.Option(help="Events a second at that time. Default: as many.", show_default=False)
    ] = None,
    history: Annotated[float, typer.Option(help="Mean events per user in a release's log.")] = 30,
    modalities: Annotated[
        str, typer.Option(help="What items have, separated by commas: text, image, audio; or none.")
    ] = "text,image",
    dimension: Annotated[int, typer.Option(help="Width of the item vectors (retriever.dimension).")] = 64,
    index: Annotated[
        str, typer.Option(help="How items are searched: auto takes the cheapest of exact, approximate and milvus.")
    ] = "auto",
    prices: Annotated[
        Path | None,
        typer.Option(help="Price file. Default: examples of list prices, whose date is printed.", show_default=False),
    ] = None,
    units: Annotated[
        Path | None,
        typer.Option(
            help="Per-unit figures, from `python -m benchmarks units FILE`. Default: those measured with this version.",
            show_default=False,
        ),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write Terraform variables for eks/, limits of its node pools, and a kustomize component for "
            "kserve_manifests/ into this folder: the root of a checkout, or any other.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Size a deployment: Redis, Triton, transformers, nodes, S3 and the monthly cost on AWS.

    Every figure is a measured figure per user, item, request or event times the given number, and is printed with its
    calculation; the rules (load, free memory, replicas) and the origin of the per-unit figures follow. Where one
    deployment cannot hold the workload, the plan names the limit and the remedy, and divides the workload among cells:
    deployments of their own. The cost is that of the nodes of the busiest time in all hours, on demand.
    """
    from winnow.planning import capacity, overrides, report
    from winnow.planning import prices as price_files
    from winnow.planning import units as unit_files

    workload = Workload(
        users=users,
        items=items,
        rps=rps,
        events=rps if events is None else events,
        history=history,
        modalities=parsed_modalities(modalities),
        dimension=dimension,
        index=parsed_index(index),
    )
    figures, listed = unit_files.load(units or unit_files.FILE), price_files.load(prices or price_files.FILE)
    planned = capacity.plan(workload, figures, listed)
    written = overrides.write(planned, figures, write) if write else []
    if as_json:
        typer.echo(json.dumps(report.document(planned, figures, listed), indent=1))
    else:
        _show(planned, figures, listed)
        for path in written:
            typer.echo(f"wrote {path}")


def parsed_modalities(given: str) -> tuple[Modality, ...]:
    """The modalities of a list separated by commas; ``none`` for none.

    Raises:
        WorkloadError: one of them is unknown.
    """
    names = [] if given == "none" else given.split(",")
    unknown = [name for name in names if name not in MODALITIES]
    if unknown:
        raise WorkloadError(f"--modalities: {unknown[0]!r} is none of {', '.join(MODALITIES)}")
    return tuple(modality for modality in MODALITIES if modality in names)


def parsed_index(given: str) -> Index:
    """The form of search.

    Raises:
        WorkloadError: it is unknown.
    """
    for index in INDEXES:
        if index == given:
            return index
    raise WorkloadError(f"--index: {given!r} is none of {', '.join(INDEXES)}")


def _show(planned: "Plan", units: "Units", prices: "Prices") -> None:
    from rich.console import Console
    from rich.table import Table

    from winnow.planning import report, rules

    console = Console(highlight=False)
    for limit in planned.limits:
        console.print(f"[yellow]limit[/yellow] {limit.limit}; {limit.remedy}", soft_wrap=True)
    if planned.cells > 1:
        parts = f", each with one of {planned.parts} parts of the catalog" if planned.parts > 1 else ""
        cell = planned.cell
        console.print(
            f"{planned.cells} cells{parts}: {cell.users:,} users, {cell.items:,} items, {cell.rps:,.0f} "
            f"recommendations and {cell.events:,.0f} events a second in each. The figures are those of one cell."
        )
    console.print(_table("figure", planned.figures))
    forms = Table("search of the items", "ms", "GiB", "$/month", "", box=None, header_style="dim")
    for form in planned.forms:
        cost = "" if form.refused else f"{form.hourly * prices.hours:,.0f}"
        remark = "chosen" if form is planned.form else form.refused
        forms.add_row(form.name, f"{form.search_ms:,.2f}", f"{form.memory / 2**30:,.1f}", cost, remark)
    console.print(forms)
    for name, part in (("Triton", planned.predictor), ("transformers", planned.transformers)):
        console.print(
            f"{name}: {part.replicas} pods of {part.cpu:g} vCPUs and {part.memory_gib:g} GiB on {part.nodes} "
            f"{part.node_type}; autoscaling from {part.least} to {part.most}"
        )
    costs = _table(f"cost, {prices.region}, {prices.as_of}", planned.costs)
    costs.add_row("[bold]sum[/bold]", f"[bold]{planned.monthly:,.0f}[/bold]", "$/month", prices.note)
    console.print(costs)
    origins = Table("per-unit figure", "value", "origin", box=None, header_style="dim")
    for row in report.origins(units, report.used(planned), planned.workload.history):
        origins.add_row(*row)
    console.print(origins)
    rows = Table("rule", "", box=None, header_style="dim")
    for rule in rules.ALL.values():
        rows.add_row(f"{rule.value:g}", rule.reason)
    console.print(rows)


def _table(title: str, figures: "list[Figure]") -> "Table":
    from rich.table import Table

    from winnow.planning.figures import shown

    table = Table(title, "", "", "from", box=None, header_style="dim")
    table.columns[1].justify = "right"
    for figure in figures:
        table.add_row(figure.name, shown(figure.value), figure.unit, figure.because)
    return table
