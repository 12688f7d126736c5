"""The online funnel: the protocols of its stages, a folder of components per stage, and the runner."""
