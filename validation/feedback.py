"""Events get out of the online store before it is full, and what mends its state knows where they went."""

from collections.abc import Iterator

from validation.objects import Finding, Objects, title
from validation.release import source
from validation.workloads import workloads


def check(objects: Objects) -> Iterator[Finding]:
    """The jobs that run `winnow` commands: the export, and those of each chain."""
    exports = set()
    for pod in workloads(objects):
        for container in pod.containers:
            if container.get("command") == ["winnow", "events", "export"]:
                if pod.owner["spec"].get("suspend"):
                    yield Finding(pod.title, "spec.suspend", "nothing exports events: a full stream answers 429")
                exports.update(container["args"])
    if len(exports) != 1:
        told = ", ".join(sorted(exports)) or "nowhere"
        yield Finding("CronJobs", "", f"events are exported to {told}: it must be one place, always the same")
    for chain in objects.chains:
        name = chain["metadata"]["name"]
        number = chain["metadata"].get("labels", {}).get("winnow/release")
        rebuilt = False
        for pod in workloads(objects):
            if pod.owner["kind"] != "CronJob" or pod.owner["metadata"].get("labels", {}).get("winnow/chain") != name:
                continue
            if source(pod.pod) != number:
                yield Finding(pod.title, "initContainers", f"is of release {source(pod.pod)}, its chain of {number}")
            for container in pod.containers:
                told = next((arg for arg in container["args"] if arg.startswith("--exports=")), "")
                if container["command"] == ["winnow", "filters", "rebuild"]:
                    rebuilt = True
                    if told.removeprefix("--exports=") not in exports:
                        yield Finding(pod.title, "args", f"{told or '--exports='}: events are exported elsewhere")
        if not rebuilt:
            yield Finding(title(chain), "", "no CronJob is a template for `winnow filters rebuild`")
