"""Pictures, words and sounds as unit vectors: the encoders, and their training on a catalog.

``preparation`` (with ``pixels``, ``tokens``, ``sounds`` and ``media``) prepares raw content and imports no torch, so
that serving can use it. ``settings`` is the choice per modality: ``tiny`` is trained on the catalog itself, ``clap``,
``open_clip_model``, ``sentence`` and ``timm_image`` are pretrained. The rest is offline work.
"""
