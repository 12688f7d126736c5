"""Instance types, their sizes and prices: a file, of which every entry can be replaced.

The shipped file is ``prices.yaml`` beside this module: examples of one date and region, not quotes. Nothing is guessed:
a price that a plan needs and the file lacks is an error that names it.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from winnow.settings import file

FILE = Path(__file__).with_name("prices.yaml")
"""The shipped prices."""

Price = Annotated[float, Field(ge=0, le=1e6)]
Size = Annotated[float, Field(gt=0, le=1e6)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Gpu(_Section):
    """The GPU of an instance type, which has one.

    Attributes:
        memory_gib: its memory.
        bandwidth_gbs: its memory's bandwidth, GB/s.
    """

    memory_gib: Size
    bandwidth_gbs: Size


class Instance(_Section):
    """An EC2 instance type.

    Attributes:
        vcpus: virtual CPUs.
        memory_gib: memory.
        hourly: price of an hour.
        gpu: its GPU, if it has one.
    """

    vcpus: Size
    memory_gib: Size
    hourly: Price
    gpu: Gpu | None = None


class Cache(_Section):
    """An ElastiCache node type.

    Attributes:
        memory_gib: its ``maxmemory``.
        hourly: price of an hour.
    """

    memory_gib: Size
    hourly: Price


class Fixed(_Section):
    """What a cluster of `eks/` costs whatever its load.

    Attributes:
        control_plane: an hour of the EKS control plane.
        nat_gateway: an hour of the NAT gateway and its address.
        load_balancer: an hour of the internal load balancer.
        interface_endpoint: an hour of an interface endpoint in one zone.
        interface_endpoints: their number, zones counted.
        system_type: instance type of the node group ``system``.
        system_nodes: its nodes.
    """

    control_plane: Price
    nat_gateway: Price
    load_balancer: Price
    interface_endpoint: Price
    interface_endpoints: Annotated[int, Field(ge=0, le=1000)]
    system_type: str
    system_nodes: Annotated[int, Field(ge=1, le=1000)]


class Prices(_Section):
    """A price file.

    Attributes:
        region: the region of the prices.
        as_of: their date.
        note: where they come from.
        hours: hours of a month.
        instances: EC2 type -> its size and price. Pods are placed on the cheapest that fits.
        caches: ElastiCache type -> its size and price.
        fixed: what a cluster costs whatever its load.
        s3_gb_month: a GB in S3 for a month.
        volume_gib_month: a GiB of a node's volume for a month.
        volume_gib: GiB of a node's volume.
    """

    region: str
    as_of: str
    note: str
    hours: Size
    instances: Annotated[dict[str, Instance], Field(min_length=1, max_length=1000)]
    caches: Annotated[dict[str, Cache], Field(min_length=1, max_length=1000)]
    fixed: Fixed
    s3_gb_month: Price
    volume_gib_month: Price
    volume_gib: Size

    @model_validator(mode="after")
    def _system_is_known(self) -> "Prices":
        if self.fixed.system_type not in self.instances:
            known = ", ".join(self.instances)
            raise ValueError(
                f"fixed.system_type is {self.fixed.system_type}, for which `instances` has no price; it has {known}"
            )
        if all(instance.gpu for instance in self.instances.values()):
            raise ValueError("instances must have a type without a GPU, on which transformers run")
        return self


def load(path: Path = FILE) -> Prices:
    """Read a price file.

    Raises:
        SettingsError: it cannot be read, or a price is missing or wrong; the message names it.
    """
    return file.load(Prices, path)
