"""The gate: what must hold of a release before it may become live.

``rules`` is ``gate.yaml``; ``judge`` runs the checks of ``artefacts`` (files, parity, schema), ``data`` and
``metrics``, then those of ``serving`` (``replay`` of ``requests``, and ``load``), and gives a
:class:`~winnow.lifecycle.verdict.Verdict`. docs/gate.md is its guide.
"""

from winnow.lifecycle.gate.judge import judge
from winnow.lifecycle.gate.requests import logged, sampled
from winnow.lifecycle.gate.rules import Gate
from winnow.lifecycle.gate.serving import Serving
from winnow.lifecycle.verdict import Check, Verdict, write

__all__ = ["Check", "Gate", "Serving", "Verdict", "judge", "logged", "sampled", "write"]
