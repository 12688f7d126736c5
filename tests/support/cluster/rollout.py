"""A cluster for a rollout: the real API server, KServe's controller and Prometheus.

The test plays what makes pods and traffic: the controllers of Deployments and Jobs, and the gateway.
"""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from kubernetes import client, config
from kubernetes.client import ApiClient, ApiException

from cluster_validation.api_server.server import ApiServer
from cluster_validation.checks.routes import backends
from kfp_pipelines.rollout.settings import BUCKETS, Place
from tests.support.cluster.planted import Behaviour, Planted

Object = dict[str, Any]

HEADER = "x-winnow-bucket"
PATH = "/v1/models/recommender:predict"
INFER = "/inference.GRPCInferenceService/ModelInfer"
_AT = "2026-01-01T00:00:00Z"


class Players(threading.Thread):
    """The controllers and the gateway, played: pods become ready, Jobs complete, traffic follows the routes.

    Args:
        server: a running API server with KServe's controller.
        exporter: gets each chain's share of the traffic.
        place: of the chains.

    Attributes:
        shares: percent of the users on the canary, every change of it over both protocols.
        unready: releases whose pods do not become ready.
        unpublished: releases whose Job fails.
        on_share: called with every new share.
    """

    def __init__(self, server: ApiServer, exporter: Planted, place: Place) -> None:
        super().__init__(daemon=True)
        settings: Any = client.Configuration()
        config.load_kube_config(str(server.kubeconfig), client_configuration=settings)
        settings.verify_ssl, settings.ssl_ca_cert = True, str(server.kubeconfig.with_name("apiserver.crt"))
        self._client = ApiClient(settings)
        self._apps: Any = client.AppsV1Api(self._client)
        self._core: Any = client.CoreV1Api(self._client)
        self._jobs: Any = client.BatchV1Api(self._client)
        self._custom: Any = client.CustomObjectsApi(self._client)
        self._exporter = exporter
        self._place = place
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        self.shares: list[int] = []
        self.unready: set[int] = set()
        self.unpublished: set[int] = set()
        self.on_share: Callable[[int], None] = lambda share: None

    def reset(self) -> None:
        """Forget the shares, and let every chain behave well and every release become ready."""
        self.unready, self.unpublished, self.on_share = set(), set(), lambda share: None
        self.shares = self.shares[-1:]
        for chain in (self._place.chain, self._place.canary):
            self._exporter.behave(chain, Behaviour())

    def route(self, plural: str = "httproutes") -> Object:
        """A route as it is stored."""
        group = ("gateway.networking.k8s.io", "v1", self._place.namespace, plural, self._place.chain)
        found: Object = self._custom.get_namespaced_custom_object(*group)
        return found

    def annotations(self) -> dict[str, str]:
        """The annotations of the HTTPRoute."""
        found: dict[str, str] = self.route()["metadata"].get("annotations", {})
        return found

    def release(self, chain: str) -> int:
        """The release in the label of a chain's InferenceService."""
        group = ("serving.kserve.io", "v1beta1", self._place.namespace, "inferenceservices", chain)
        return int(self._custom.get_namespaced_custom_object(*group)["metadata"]["labels"]["winnow/release"])

    def run(self) -> None:
        try:
            while not self._ended.is_set():
                self._deployments()
                self._complete_jobs()
                self._collect_garbage()
                self._route()
                time.sleep(0.1)
        except BaseException as failure:
            self._failure = failure

    def __enter__(self) -> "Players":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self.join(30)
        self._client.close()
        assert self._failure is None, self._failure

    def _deployments(self) -> None:
        """Let the pods of every deployment be available, apart from those of a release that is not to become ready."""
        for each in self._apps.list_namespaced_deployment(self._place.namespace).items:
            release, replicas = int(each.spec.template.metadata.labels["winnow/release"]), each.spec.replicas
            if release in self.unready:
                # The old template's pods stay, as maxUnavailable 0 demands.
                old = (each.status.available_replicas or 0) if each.metadata.generation > 1 else 0
                status = {"replicas": old + 1, "updatedReplicas": 1, "availableReplicas": old, "readyReplicas": old}
                state = "True" if old else "False"
            else:
                counts = ("replicas", "updatedReplicas", "availableReplicas", "readyReplicas")
                status, state = dict.fromkeys(counts, replicas), "True"
            if (each.status.observed_generation, each.status.updated_replicas, each.status.replicas) == (
                each.metadata.generation,
                status["updatedReplicas"],
                status["replicas"],
            ):
                continue
            condition = {"type": "Available", "status": state, "reason": "Played", "message": "played"}
            status |= {"observedGeneration": each.metadata.generation}
            body = {"status": status | {"conditions": [condition | {"lastTransitionTime": _AT, "lastUpdateTime": _AT}]}}
            self._patch(self._apps.patch_namespaced_deployment_status, each.metadata.name, body)

    def _complete_jobs(self) -> None:
        for each in self._jobs.list_namespaced_job(self._place.namespace).items:
            if any(one.type in ("Complete", "Failed") for one in each.status.conditions or ()):
                continue
            failed = int(each.metadata.name.rpartition("-")[2]) in self.unpublished
            kinds = ("FailureTarget", "Failed") if failed else ("SuccessCriteriaMet", "Complete")
            conditions = [
                {"type": kind, "status": "True", "reason": "Played", "message": "played"}
                | {"lastTransitionTime": _AT, "lastProbeTime": _AT}
                for kind in kinds
            ]
            status: Object = {"conditions": conditions, "startTime": _AT, "active": 0, "ready": 0, "terminating": 0}
            status |= {"failed": 1} if failed else {"succeeded": 1, "completionTime": _AT}
            self._patch(self._jobs.patch_namespaced_job_status, each.metadata.name, {"status": status})

    def _collect_garbage(self) -> None:
        """Delete what KServe made for InferenceServices that are gone."""
        group = ("serving.kserve.io", "v1beta1", self._place.namespace, "inferenceservices")
        living = {each["metadata"]["uid"] for each in self._custom.list_namespaced_custom_object(*group)["items"]}
        keda = ("keda.sh", "v1alpha1", self._place.namespace, "scaledobjects")
        for each in self._custom.list_namespaced_custom_object(*keda)["items"]:
            if each["metadata"]["ownerReferences"][0]["uid"] not in living:
                self._custom.delete_namespaced_custom_object(*keda, each["metadata"]["name"])
        for kind, api in (("deployment", self._apps), ("service", self._core)):
            for one in getattr(api, f"list_namespaced_{kind}")(self._place.namespace).items:
                owners = one.metadata.owner_references
                if owners and owners[0].uid not in living:
                    getattr(api, f"delete_namespaced_{kind}")(one.metadata.name, self._place.namespace)

    def _patch(self, patch: Callable[..., object], name: str, body: Object) -> None:
        try:
            patch(name, self._place.namespace, body)
        except ApiException as error:
            if error.status not in (404, 409):  # Deleted or changed meanwhile.
                raise

    def _route(self) -> None:
        """Share the traffic out as the gateway would, and note the share of the users on the canary."""
        route = self.route()
        sides = [backends(route, PATH, {HEADER: str(bucket)}) for bucket in range(BUCKETS)]
        share = 100 * sum(f"{self._place.canary}-transformer" in side for side in sides) // BUCKETS
        if [share] != self.shares[-1:]:
            self.shares.append(share)
            self._exporter.share({self._place.canary: share / 100, self._place.chain: 1 - share / 100})
            self.on_share(share)


def objects_of(server: ApiServer, place: Place, chain: str) -> list[str]:
    """Kind and name of every object that was applied for a chain."""
    kinds = "inferenceservices,services,jobs,cronjobs,poddisruptionbudgets,configmaps"
    selector = f"--selector=winnow/chain={chain}"
    listed = json.loads(server.kubectl("get", kinds, f"--namespace={place.namespace}", selector, "--output=json"))
    return sorted(
        f"{each['kind']}/{each['metadata']['name']}"
        for each in listed["items"]
        if not each["metadata"].get("ownerReferences")
    )
