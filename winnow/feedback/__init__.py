"""The feedback streams in Redis: events (what users did) and impressions (what users were shown).

``append`` adds events, ``streams`` reads entries back and ``impressions`` is the codec of the features in an
impression. ``export`` writes both streams to Parquet (``export_files``) and ``trim`` then removes exported events.
``rebuild`` recomputes the users' activity from a release's log, the exports (``exported_events``) and the stream.
"""
