"""Capacity planning: what a deployment of a given size needs, costs and must be configured with.

``workload`` is the size that is asked for. ``units`` reads the measured per-unit figures (``units.yaml``), and
``prices`` the instance types and prices (``prices.yaml``); both files are shipped and can be replaced. ``store``,
``index``, ``serving`` and ``storage`` each derive the figures of their part by ``rules``, ``pods`` places replicas on
nodes, and ``capacity`` combines all to a plan. ``report`` gives it as a document, and ``overrides`` writes it as
settings of `eks/` and `kserve_manifests/`.
"""
