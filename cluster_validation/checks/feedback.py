"""Events are exported from the online store before it is full, and rebuilds read those exports."""

from collections.abc import Iterator

from cluster_validation.checks.release import source
from cluster_validation.manifests.objects import Finding, Objects, title
from cluster_validation.manifests.workloads import workloads


def check(objects: Objects) -> Iterator[Finding]:
    """The CronJobs that run ``winnow events export`` and ``winnow filters rebuild``, and their releases."""
    exports = set()
    for pod in workloads(objects):
        for container in pod.containers:
            if container.get("command") == ["winnow", "events", "export"]:
                if pod.owner["spec"].get("suspend"):
                    yield Finding(
                        pod.title, "spec.suspend", "a suspended CronJob exports no events: a full stream returns 429"
                    )
                exports.update(container["args"])
    if len(exports) != 1:
        targets = ", ".join(sorted(exports)) or "nowhere"
        yield Finding("CronJobs", "", f"events are exported to {targets}: export them to one data set")
    for chain in objects.chains:
        name = chain["metadata"]["name"]
        number = chain["metadata"].get("labels", {}).get("winnow/release")
        rebuilt = False
        for pod in workloads(objects):
            if pod.owner["kind"] != "CronJob" or pod.owner["metadata"].get("labels", {}).get("winnow/chain") != name:
                continue
            if source(pod.pod) != number:
                yield Finding(
                    pod.title, "initContainers", f"fetches release {source(pod.pod)}, but its chain serves {number}"
                )
            for container in pod.containers:
                flag = next((arg for arg in container["args"] if arg.startswith("--exports=")), "")
                if container["command"] == ["winnow", "filters", "rebuild"]:
                    rebuilt = True
                    if flag.removeprefix("--exports=") not in exports:
                        yield Finding(pod.title, "args", f"{flag or '--exports='}: events are exported elsewhere")
        if not rebuilt:
            yield Finding(title(chain), "", "no CronJob is a template for `winnow filters rebuild`")
