"""Do users get their regular items again? A generated grocery log, and a menu of 30 dishes."""

import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import yaml
from numpy.typing import NDArray

from benchmarks.common.rows import Row, row
from benchmarks.common.stack import serving
from benchmarks.value.endpoint import ask, item_ids
from benchmarks.value.grocery import Grocery, grocery, item_row, user_id, write
from benchmarks.value.subjects import Subjects, build
from tests.support.paths import SHARED
from winnow import home, protocols
from winnow.datasets.canonical.spec import FILE
from winnow.errors import WinnowError
from winnow.schema import Repeats

K = 10
SEED = 7

MENU = SHARED / "cases" / "menu30"


def measure(subjects: Subjects) -> list[Row]:
    """Recall@10 of the last purchase with repeats allowed, hidden, and by the items bought most; the menu's answers."""
    log = grocery(SEED)
    last = log.last
    known = Grocery(log.user[~last], log.item[~last], log.ago[~last], log.department, log.price)
    asked, wanted = log.user[last], log.item[last]
    allow, hide = (_recall(_served(known, repeats), asked, wanted) for repeats in ("allow", "hide"))
    most = _recall({user: most_bought(known, user) for user in asked.tolist()}, asked, wanted)
    split = f"last purchase of {len(asked)} users"
    return [
        row(f"grocery: repeats among the purchases ({split})", float(log.repeated.mean()), "share"),
        row("grocery: repeats among the last purchases", float(log.repeated[last].mean()), "share"),
        row("grocery, recall@10: repeats allowed", allow, "share"),
        row("grocery, recall@10: repeats hidden", hide, "share"),
        row("grocery, recall@10: items bought most", most, "share"),
        row("grocery, allowed / hidden", allow / max(hide, 1e-9), "x", ">= 3"),
        row("grocery, allowed / bought most", allow / most, "x", ">= 1.1"),
        *_menu(),
    ]


def _served(known: Grocery, repeats: Repeats) -> dict[int, list[int]]:
    """The first items that a release of the log answers to each user, as rows."""
    folder = home.home() / f"grocery-{repeats}"
    write(known, folder, int(time.time() * 1000), repeats)
    users = np.unique(known.user).tolist()
    with serving(build(folder)) as ports, protocols.http(ports.http) as endpoint:
        answers = ask(endpoint, [user_id(user) for user in users], K)
    return {user: [item_row(each) for each in item_ids(answer)] for user, answer in zip(users, answers, strict=True)}


def most_bought(known: Grocery, user: int) -> list[int]:
    """The items that a user bought most often, of equally many the latest, then the items with the most buyers."""
    own = known.item[known.user == user]
    times = np.bincount(own, minlength=len(known.price)).astype(np.float64)
    times[own] += np.arange(1, len(own) + 1) / (2 * len(own))
    pairs = np.unique(known.user * len(known.price) + known.item)
    buyers = np.bincount(pairs % len(known.price), minlength=len(known.price))
    best: list[int] = np.argsort(-(times + buyers / (10 * len(own) * buyers.max())))[:K].tolist()
    return best


def _recall(lists: dict[int, list[int]], users: NDArray[np.int64], wanted: NDArray[np.int64]) -> float:
    return float(np.mean([item in lists[user][:K] for user, item in zip(users.tolist(), wanted.tolist(), strict=True)]))


def _menu() -> list[Row]:
    if not MENU.is_dir():
        raise WinnowError(f"no {MENU}: this measure needs that data set there")
    folder = home.home() / "menu30"
    shutil.copytree(MENU, folder)
    spec = yaml.safe_load((folder / FILE).read_text()) | {"repeats": "allow"}
    (folder / FILE).write_text(yaml.safe_dump(spec))
    regular = regular_items(folder / "events.csv")
    with serving(build(folder)) as ports, protocols.http(ports.http) as endpoint:
        answers = ask(endpoint, list(regular), K)
    lists = [item_ids(answer) for answer in answers]
    among = [
        sum(each in own for each in ids) / max(len(ids), 1) for ids, own in zip(lists, regular.values(), strict=True)
    ]
    return [
        row("menu30: dishes in an answer, mean", float(np.mean([len(ids) for ids in lists])), f"of {K}", f">= {K}"),
        row(f"menu30: answered dishes among the user's {K} most ordered", float(np.mean(among)), "share", ">= 0.8"),
        row("menu30: the same by chance", float(np.mean([len(own) for own in regular.values()])) / 30, "share"),
    ]


def regular_items(path: Path) -> dict[str, set[str]]:
    """The items with the most events of each user; where the last of them has as many as others, all of these."""
    events = pa_csv.read_csv(path)
    counts: dict[str, dict[str, int]] = {}
    for user, item in zip(events["user_id"].to_pylist(), events["item_id"].to_pylist(), strict=True):
        own = counts.setdefault(user, {})
        own[item] = own.get(item, 0) + 1
    least = {user: sorted(own.values(), reverse=True)[:K][-1] for user, own in counts.items()}
    return {user: {item for item, times in own.items() if times >= least[user]} for user, own in counts.items()}
