"""Releases of one data set share the users' state: what each adds, whatever the order, and what none may lose."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bloom_sidecar.consumer import Consumer
from tests.support.redis_fixtures import server_and_cluster
from tests.support.sidecar.process import CATEGORIES, SCHEMA
from tests.support.tiny_release import write_bare_release
from winnow.bloom.categories import CategoryFilter
from winnow.bloom.hashing import item_hash
from winnow.bloom.seen import WINDOW_MS, SeenFilter
from winnow.bloom.shadow import sampled
from winnow.release import Release
from winnow.store.connection import Client
from winnow.store.keys import EVENTS, Keys, StateKeys
from winnow.store.publish import publish, published
from winnow.store.shared_state import state_of
from winnow.store.user_activity import watched

redis_url = server_and_cluster
