"""The profile of a build's data: both builds of one data set, with and without held-out events, have the same."""

from pathlib import Path

from export.release import data_profile
from winnow.datasets.canonical.dataset import HOLDOUT, Dataset
from winnow.datasets.ingest import hold_out, ingest
from winnow.datasets.profile import Column
from winnow.features.extract import extract


def test_held_out_events_count(tmp_path: Path) -> None:
    source = tmp_path / "shop"
    source.mkdir()
    (source / "dataset.yaml").write_text("name: shop\nevents: {view: 1, buy: 5}\nrepeats: allow\n")
    (source / "items.csv").write_text("item_id,category\na,hat\nb,hat\nc,shoe\nd,\n")
    log = [("u", "a", "view"), ("u", "c", "view"), ("u", "a", "buy"), ("u", "d", "view"), ("v", "b", "view")]
    rows = [f"{user},{item},{event},{1_700_000_000_000 + n * 1000}" for n, (user, item, event) in enumerate(log)]
    (source / "events.csv").write_text("\n".join(["user_id,item_id,event,timestamp", *rows]))
    ingest(str(source), tmp_path / "whole")
    hold_out(tmp_path / "whole", tmp_path / "twin")
    profiles = []
    for folder in (tmp_path / "whole", tmp_path / "twin"):
        dataset = Dataset.load(folder)
        profiles.append(data_profile(extract(dataset, {}), dataset, folder / HOLDOUT))
    whole, twin = profiles
    assert twin == whole
    assert (tmp_path / "twin" / HOLDOUT).exists()
    assert whole.event_types == {"view": 4, "buy": 1}
    assert whole.columns["events.category"] == Column(missing=1 - 4 / 5, shares={"hat": 0.6, "shoe": 0.2})
