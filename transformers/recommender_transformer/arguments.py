"""The command line of the transformer."""

import argparse
import os
from pathlib import Path

from kserve import model_server as kserve_server  # type: ignore[import-untyped]

from recommender_transformer.funnel.orderers.explored import MAX_EXPLORE
from recommender_transformer.funnel.reuse.held_answers import MAX_REUSE_S
from recommender_transformer.funnel.runner import DEADLINE_MS
from recommender_transformer.serving.connections.admission import MAX_IN_FLIGHT
from recommender_transformer.serving.connections.connection_limits import ConnectionLimits
from recommender_transformer.serving.drain import DRAIN_S, MAX_DRAIN_S
from winnow.feedback.append import AppendOptions
from winnow.ports import EVERYWHERE
from winnow.store.connection import LOCAL

REUSE_S = 5.0
"""Age up to which answers are reused. Rows, trending list and live weights are held for as long: nothing that is not
compared when an answer is reused is promised to take effect sooner."""


def parse() -> argparse.Namespace:
    """Read the command line, or end the process with a message that names the flag."""
    parser = argparse.ArgumentParser(prog="recommender_transformer", parents=[kserve_server.parser])
    parser.add_argument("--release-dir", type=Path, required=True, help="Folder of the release to serve.")
    # No --predictor: KServe parses the command line when it is imported, and takes that for an abbreviation.
    parser.add_argument(
        "--model-repository",
        type=Path,
        help="Model repository of the release: compute the models in this process, in place of --predictor_host.",
    )
    parser.add_argument("--redis-url", default=os.environ.get("REDIS_URL", LOCAL), help="Default: $REDIS_URL.")
    parser.add_argument(
        "--host", default=EVERYWHERE, help="Address that HTTP and gRPC listen on. Default: all addresses."
    )
    parser.add_argument("--deadline-ms", type=int, default=DEADLINE_MS, help="Deadline of requests without their own.")
    parser.add_argument(
        "--max-in-flight",
        type=int,
        default=MAX_IN_FLIGHT,
        help="Recommendations in flight. Further ones are rejected, except in short bursts.",
    )
    parser.add_argument(
        "--reuse-seconds",
        type=float,
        default=REUSE_S,
        help="Age up to which an answer is reused while nothing that it was computed from has changed; 0 reuses none.",
    )
    parser.add_argument(
        "--explore",
        type=float,
        default=0.0,
        help=f"Share of the lists that are drawn at random from the best candidates, at most {MAX_EXPLORE:g}; with "
        "them the propensities of all impressions allow `winnow off-policy`. Default: 0.",
    )
    parser.add_argument("--experiments", type=Path, help="YAML file of experiments, whose arms users are assigned to.")
    # Not --access, which KServe takes for an abbreviation of its --access_log_format.
    parser.add_argument(
        "--access-file",
        dest="access",
        type=Path,
        help="YAML file of API keys, JWT settings and open scopes, or a folder of such files: calls need a key. "
        "Read again when it changes. Default: every call is admitted.",
    )
    parser.add_argument(
        "--drain-seconds",
        type=float,
        default=DRAIN_S,
        help="Seconds to keep serving after SIGTERM while reporting that the server is not ready.",
    )
    parser.add_argument(
        "--max-connections",
        type=int,
        default=ConnectionLimits().connections,
        help="HTTP connections that are sending a request; the same number may be idle. Beyond it, the connections "
        "with the least progress are closed.",
    )
    parser.add_argument(
        "--max-connections-per-client",
        type=int,
        default=ConnectionLimits().per_client,
        help="Of these, connections of one address. Behind a gateway, all clients have the gateway's address.",
    )
    parser.add_argument(
        "--event-stream-max",
        type=int,
        default=AppendOptions().maximum,
        help="Entries of the event stream. Beyond it, events are refused until `winnow events export` makes room.",
    )
    parser.add_argument(
        "--event-replicas",
        type=int,
        default=AppendOptions().replicas,
        help="Replicas of Redis that must hold an event before it is acknowledged.",
    )
    parser.add_argument(
        "--reuse-port",
        action="store_true",
        help="Listen on HTTP and gRPC ports that other transformers listen on too (SO_REUSEPORT), once connected. "
        "See recommender_transformer.processes.",
    )
    parser.add_argument(
        "--metrics-port", type=int, default=None, help="A further port for the metrics. Required by --reuse-port."
    )
    parser.add_argument(
        "--standby-port",
        type=int,
        default=None,
        help="Serve HTTP on this port of loopback at once, and listen on --http_port and --grpc_port from SIGUSR1 to "
        "SIGUSR2 only: how a stack moves to another release.",
    )
    args = parser.parse_args()
    if args.reuse_port and args.standby_port is not None:
        parser.error("--standby-port: cannot be combined with --reuse-port")
    if args.reuse_port and args.metrics_port is None:
        parser.error("--reuse-port: needs --metrics-port, because each process has its own metrics")
    if bool(args.predictor_host) == bool(args.model_repository):
        parser.error(
            "one of --predictor_host (HOST:PORT of Triton's gRPC endpoint) and --model-repository (compute the models "
            "in this process) is required"
        )
    for name, smallest in (
        ("max_in_flight", 1),
        ("max_connections", 1),
        ("max_connections_per_client", 1),
        ("event_stream_max", 1),
        ("event_replicas", 0),
    ):
        value = getattr(args, name)
        if value < smallest:
            parser.error(f"--{name.replace('_', '-')}: must be at least {smallest}, got {value}")
    bounds = (("drain_seconds", MAX_DRAIN_S), ("reuse_seconds", MAX_REUSE_S), ("explore", MAX_EXPLORE))
    for name, largest in bounds:
        value = getattr(args, name)
        if not 0 <= value <= largest:
            parser.error(f"--{name.replace('_', '-')}: must be between 0 and {largest:g}, got {value:g}")
    return args
