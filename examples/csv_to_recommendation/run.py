"""From CSV files to a recommendation: write a small shop, build a release, serve it, ask for recommendations."""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

CATEGORIES = {"tea": ["green tea", "black tea", "rooibos"], "coffee": ["espresso", "filter coffee", "decaf"]}
DATASET = """\
name: corner-shop
events: {view: 1, purchase: 5}
conversions: [purchase]
"""


def write_shop(folder: Path) -> None:
    """Write the three files of a data set: users mostly buy within the category they like."""
    draw = random.Random(7)  # noqa: S311
    folder.mkdir(parents=True)
    (folder / "dataset.yaml").write_text(DATASET)
    items: dict[str, list[str]] = {category: [] for category in CATEGORIES}
    with (folder / "items.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "title", "category", "price"])
        for number in range(40):
            category = list(CATEGORIES)[number % 2]
            items[category].append(f"item-{number}")
            title = f"{draw.choice(CATEGORIES[category])} no. {number}"
            rows.writerow([f"item-{number}", title, category, round(draw.uniform(2, 20), 2)])
    with (folder / "events.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "event", "timestamp"])
        for user in range(80):
            liked, other = list(CATEGORIES)[:: 1 if user % 2 else -1]
            basket = draw.sample(items[liked], 9) + draw.sample(items[other], 1)
            for step, item in enumerate(basket):
                moment = 1_750_000_000_000 + user * 60_000 + step * 3_600_000
                rows.writerow([f"user-{user}", item, draw.choice(["view", "purchase"]), moment])


def winnow(home: Path, *arguments: str) -> None:
    """Run a `winnow` command whose state is in ``home``."""
    command = [str(Path(sys.executable).with_name("winnow")), *arguments]
    subprocess.run(command, env=os.environ | {"WINNOW_HOME": str(home)}, check=True)


def ask(port: int, model: str, instance: dict[str, Any]) -> dict[str, Any]:
    """Send one instance to a model of the running endpoint and return its prediction."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/models/{model}:predict",
        data=json.dumps({"instances": [instance]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=30) as response:
        prediction: dict[str, Any] = json.load(response)["predictions"][0]
    return prediction


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="Where data and state are written. Default: a temporary folder.")
    parser.add_argument("--port-base", type=int, default=8080, help="First of seven free ports. Default: 8080.")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="winnow-example-"))
    home = folder / "home"

    write_shop(folder / "shop")
    winnow(home, "build", f"--data={folder / 'shop'}")
    winnow(home, "up", "--detach", f"--port-base={args.port_base}")
    try:
        before = ask(args.port_base, "recommender", {"user_id": "user-1", "k": 3, "deadline_ms": 5000})
        print(json.dumps(before["items"], indent=1))
        bought = before["items"][0]["item_id"]
        ask(args.port_base, "events", {"user_id": "user-1", "item_id": bought, "event": "purchase"})
        after = ask(args.port_base, "recommender", {"user_id": "user-1", "k": 3, "deadline_ms": 5000})
        print(f"after the purchase of {bought}:", [item["item_id"] for item in after["items"]])
    finally:
        winnow(home, "down")


if __name__ == "__main__":
    main()
