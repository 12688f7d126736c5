"""The events that `winnow events export` has written, needed once they are trimmed from the stream."""

from collections.abc import Iterator

from winnow.errors import WinnowError
from winnow.store.connection import Client
from winnow.store.events import Entry, position
from winnow.store.keys import TRIMMED


class ExportedEvents:
    """Reads exported events, if the stream was ever trimmed.

    Args:
        client: connection to Redis that returns bytes.
        folder: folder of the exports; ``None`` where none is given.
    """

    def __init__(self, client: Client, folder: str | None) -> None:
        self._client = client
        self._folder = folder

    def count(self) -> int:
        """The number of exported events; 0 while the stream was never trimmed.

        Raises:
            WinnowError: a file cannot be read.
        """
        if self._trimmed() is None or self._folder is None:
            return 0
        # Imported here: a stream that was never trimmed needs no file libraries.
        from winnow.feedback import export_files

        return sum(map(export_files.count, export_files.written(self._folder, export_files.EVENT_TABLE)))

    def before(self, first: bytes) -> Iterator[Entry]:
        """Yield the exported events before entry ``first`` of the stream; all of them when ``first`` is empty.

        Raises:
            WinnowError: the exports end before the last trimmed event.
        """
        trimmed = self._trimmed()
        if trimmed is None:
            return
        last = b""
        if self._folder is not None:
            from winnow.feedback import export_files

            for address in export_files.written(self._folder, export_files.EVENT_TABLE):
                for entry in export_files.events(address):
                    if not first or position(entry[0]) < position(first):
                        yield entry
                last = export_files.last(address).encode() or last
        if not last or position(last) < position(trimmed):
            raise WinnowError(
                f"events up to {trimmed.decode()} were trimmed from the stream after they were exported, but "
                f"{self._folder or 'no folder of exports'} has them up to {last.decode() or 'none'}: name the folder "
                "that `winnow events export` writes to (--exports)"
            )

    def _trimmed(self) -> bytes | None:
        held = self._client.get(TRIMMED)
        return held if isinstance(held, bytes) else None
