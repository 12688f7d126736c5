"""The online store: releases and the users' state in Redis.

``keys`` names every Redis key. ``publish`` writes a release and adds its log to the state that releases share
(``shared_state``); ``bulk`` sends its commands. ``user_activity`` reads and writes what events change of a
user (history, seen filter, category filter), and ``history`` and ``events`` are the codecs of list and stream entries.
``recent_events`` holds acknowledged events that are not applied yet, ``trending`` the counts behind the trending list.
``connection`` connects to a server or a cluster. ``python -m winnow.store`` publishes a release.
"""
