"""Winnow on one machine: Redis, Triton, Milvus, sidecar, transformer and explorer as supervised processes.

``stack.Stack`` runs them all and ``background`` runs a stack detached; ``chain`` has the processes of one release, and
``stack_state`` is the file that describes the running stack. ``infrastructure`` runs the servers alone (``redis``,
``triton``, ``triton_backend``, ``milvus``). ``processes`` supervises one child process, and ``build`` runs the
retraining pipeline in one.
"""
