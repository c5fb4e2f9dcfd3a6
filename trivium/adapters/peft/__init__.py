"""Adapters as PEFT describes them: the content of ``adapter_config.json`` and its tensors, out and in.

``checkpoints/adapter_folder.py`` makes folders of it. One file a format; ``table.py`` lists them.
"""

from trivium.adapters.peft.table import from_peft, to_peft

__all__ = ["from_peft", "to_peft"]
