"""The values of new items reach every process."""

import asyncio

from recommender_transformer.backends import new_items
from recommender_transformer.backends.online_store import OnlineStore
from tests.support.redis_fixtures import server_and_cluster
from tests.support.tiny_release import ITEMS, new_item
from winnow.release import Release
from winnow.store.keys import Keys

redis_url = server_and_cluster


def test_every_process_has_the_values_of_a_new_item(published: Release, redis_url: str) -> None:
    async def work() -> None:
        writer, reader = OnlineStore(published, redis_url), OnlineStore(published, redis_url)
        try:
            document = {"title": "Лампа", "price": 3.5, "tags": ["red", "of the new item"], "available": True}
            item = new_item(published, "early", slot=0)._replace(document=document)
            await new_items.write(writer, [item])
            # An entry of an earlier version of Winnow has no document.
            stream = Keys(published.manifest.number).new_item_stream
            [(_, fields)] = await writer.client.xrange(stream)
            old = {name: value for name, value in fields.items() if name != b"document"}
            await writer.client.xadd(stream, old | {b"item_id": b"old", b"slot": b"1"})
            await new_items.catch_up(reader)
            assert reader.catalog.columns.document(ITEMS + 1) == {"item_id": "early", **document}
            assert reader.catalog.columns.document(ITEMS + 2) == {"item_id": "old"}
        finally:
            await writer.close()
            await reader.close()

    asyncio.run(work())
