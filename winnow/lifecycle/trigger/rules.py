"""``trigger.yaml``: when it is time to retrain; docs/retraining.md gives each default's reason."""

from typing import Annotated

from pydantic import Field

from winnow.settings.rules import Positive, Section, Share

Count = Annotated[int, Field(ge=1)]


class StalenessRules(Section):
    """The age of the live release.

    Attributes:
        build_hours: hours since it was built; ``None`` for any.
        data_hours: hours since its data ended; ``None`` for any.
    """

    build_hours: Positive | None = 168.0
    data_hours: Positive | None = None


class VolumeRules(Section):
    """The events since the data of the live release ended.

    Attributes:
        absolute: their number; ``None`` for any.
        relative: their number as a share of the events that the release was built from; ``None`` for any.
    """

    absolute: Count | None = None
    relative: Positive | None = 0.1


class DriftRules(Section):
    """The newest of these events beside those that the live release was built from.

    Attributes:
        share_change: change of the share of an event type or category; ``None`` for any.
        unknown_items: share of the events whose item the release was not built with; ``None`` for any.
        fewest_events: number of new events from which they are compared.
    """

    share_change: Share | None = 0.1
    unknown_items: Share | None = 0.05
    fewest_events: Count = 1000


class TriggerRules(Section):
    """All rules; a section or field that the file leaves out keeps its default.

    Attributes:
        staleness: the age of the live release.
        volume: the number of new events.
        drift: their distribution.
        pause_hours: hours from the start of one run to that of the next.
    """

    staleness: StalenessRules = StalenessRules()
    volume: VolumeRules = VolumeRules()
    drift: DriftRules = DriftRules()
    pause_hours: Positive = 20.0
