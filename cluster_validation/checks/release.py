"""A chain serves one release: both parts and the publishing Job have its number, and a canary is a whole chain."""

import re
from collections.abc import Iterator

from cluster_validation.checks.routes import KINDS
from cluster_validation.manifests.objects import Finding, Object, Objects, title
from cluster_validation.manifests.selectors import selects
from cluster_validation.manifests.workloads import serving_part, workloads

_MODELS = re.compile(r"^s3://[a-z0-9.-]+/model_repository/(\d+)/$")
_RELEASE = re.compile(r"^s3://[a-z0-9.-]+/releases/(\d+)/$")
_OPEN_ENDED = re.compile(r"^s3://\S*[^/]$")


def check(objects: Objects) -> Iterator[Finding]:
    """Release numbers, addresses, names of Jobs, and the routes to each chain."""
    published = [source(each["spec"]["template"]["spec"]) for each in objects.of("Job")]
    yield from _fetched(objects)
    yield from _job_names(objects)
    for chain in objects.chains:
        pins = _pins(chain)
        for where, number in pins.items():
            if number is None:
                yield Finding(title(chain), where, "pins no release")
        numbers = {number for number in pins.values() if number}
        if len(numbers) > 1:
            pinned = ", ".join(f"{where} {number}" for where, number in pins.items())
            yield Finding(title(chain), "", f"the parts are pinned to different releases: {pinned}")
        elif numbers and not numbers <= {*published}:
            yield Finding(title(chain), "", f"no Job publishes release {min(numbers)} to the online store")
        yield from _one_chain(objects, chain)
    yield from _routes(objects)


def _pins(chain: Object) -> dict[str, str | None]:
    spec, serving = chain["spec"], serving_part(chain)
    predictor = spec.get("predictor", {})
    models = _MODELS.match(predictor.get("model", {}).get("storageUri", ""))
    # A predictor that is the transformer itself names no model to KServe.
    stored = {"spec.predictor.model.storageUri": models and models[1]} if serving == "transformer" else {}
    return stored | {
        "the models in spec.predictor.initContainers": source(predictor, _MODELS),
        f"the release in spec.{serving}.initContainers": source(spec.get(serving, {})),
        "metadata.labels": chain["metadata"].get("labels", {}).get("winnow/release"),
    }


def _fetched(objects: Objects) -> Iterator[Finding]:
    """KServe downloads every key with the address as prefix: without a trailing slash, 1 also matches 10 to 19."""
    for pod in workloads(objects):
        for container in pod.pod.get("initContainers", ()):
            for arg in filter(_OPEN_ENDED.match, container.get("args", ())):
                yield Finding(pod.title, f"container {container['name']}", f"{arg} must end with a slash")
    for chain in objects.chains:
        uri = chain["spec"].get("predictor", {}).get("model", {}).get("storageUri", "")
        if _OPEN_ENDED.match(uri):
            yield Finding(title(chain), "spec.predictor.model.storageUri", f"{uri} must end with a slash")


def _job_names(objects: Objects) -> Iterator[Finding]:
    """A Job's pod template is immutable, so the image's tag and the release are part of its name."""
    for each in objects.of("Job"):
        pod = each["spec"]["template"]["spec"]
        tags = {container["image"].rpartition(":")[2] for container in pod["containers"]}
        slugs = [re.sub("[^a-z0-9]+", "-", tag.lower()) for tag in tags]
        for part in (*slugs, *([f"release-{number}"] if (number := source(pod)) else [])):
            if not re.search(rf"-{part}(-|$)", each["metadata"]["name"]):
                yield Finding(
                    title(each),
                    "metadata.name",
                    f"does not contain {part}: the API server refuses to change a Job's pod",
                )


def source(pod: Object, address: re.Pattern[str] = _RELEASE) -> str | None:
    """The release that a pod's init container downloads; ``None`` where none does."""
    for container in pod.get("initContainers", ()):
        for arg in container.get("args", ()):
            if match := address.match(arg):
                return match[1]
    return None


def _one_chain(objects: Objects, chain: Object) -> Iterator[Finding]:
    """A transformer calls the predictor of its own chain."""
    line = " ".join(chain["spec"].get("transformer", {}).get("containers", [{}])[0].get("args", ()))
    for host in re.findall(r"--predictor_host[= ]([\w-]+)", line):
        service = objects.find("Service", host)
        labels = {"serving.kserve.io/inferenceservice": chain["metadata"]["name"], "component": "predictor"}
        if service and not selects({"matchLabels": service["spec"]["selector"]}, labels):
            yield Finding(
                title(chain), "spec.transformer", f"calls {host}, which is not the predictor of its own chain"
            )


def _routes(objects: Objects) -> Iterator[Finding]:
    serving = {f"{chain['metadata']['name']}-{serving_part(chain)}" for chain in objects.chains}
    routed: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for route in (each for kind in KINDS for each in objects.of(kind)):
        for number, rule in enumerate(route["spec"].get("rules", ())):
            backends = [backend["name"] for backend in rule.get("backendRefs", ())]
            routed[route["kind"]].update(backends)
            where = f"spec.rules[{number}]"
            if len(backends) > 1:
                yield Finding(
                    title(route),
                    where,
                    "splits requests between chains at random, so a user changes sides: match buckets instead",
                )
            for backend in backends:
                if backend not in serving:
                    yield Finding(title(route), where, f"{backend} is not a transformer: a canary is a whole chain")
    for chain in objects.chains:
        for kind in KINDS:
            if f"{chain['metadata']['name']}-{serving_part(chain)}" not in routed[kind]:
                yield Finding(title(chain), "", f"no {kind} leads to its transformer")
