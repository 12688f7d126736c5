"""What a release is worth: the served funnel beside its retriever and the classic baselines, on held-out events."""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from winnow import home
from winnow.release import Release

AT = 50
"""Longest list that is asked for."""


class Evaluation(TypedDict):
    """The report, as ``winnow evaluate --json`` prints it."""

    split: str
    release: int
    users: int
    metrics: dict[str, dict[str, float]]
