"""The models of a run, each opened when there is work for it, and one of them in memory at a time."""

import pathlib
from collections.abc import Mapping
from typing import Literal

import torch

from trivium.errors import Unsupported
from trivium.lm.hosted.address import is_service
from trivium.lm.load import load, saved_folder
from trivium.lm.local import LocalModel
from trivium.recipes.align.constitution.constitution_config import ConstitutionConfig
from trivium.recipes.align.constitution.writing import Speaker

Role = Literal["critic", "judge"]


class Models:
    """Opens what a run needs. `given` are models that a caller has opened; None where the settings name them."""

    def __init__(self, config: ConstitutionConfig, device: torch.device, given: Mapping[Role, Speaker | None]) -> None:
        self._config = config
        self._device = device
        critic, judge = given["critic"], given["judge"]
        self._given = {"critic": critic, "judge": judge or (critic if config.judge is None else None)}
        self._last: tuple[str, Speaker] | None = None

    def check(self) -> None:
        """Raises `UserError` for a folder or a service that is not there, before any work."""
        for folder in (self._config.model, self._config.start):
            if folder is not None:
                saved_folder(folder)
        roles: tuple[Role, ...] = ("critic", "judge")
        for role in roles:
            address = self._address(role)
            if self._given[role] is None and not is_service(address):
                saved_folder(address)
            if self._given[role] is not None or is_service(address):
                self.speaking(role)

    def here(self, folder: pathlib.Path) -> LocalModel:
        """A model on this machine that answers in texts."""
        model = self._opened(str(folder))
        if not isinstance(model, LocalModel) or "generate" not in model.capabilities or model.tokenizer is None:
            raise Unsupported(
                "the model that is tuned answers prompts itself, on this machine",
                received=folder,
                expected="a decoder or a recurrent language model with a tokenizer",
            )
        return model

    def speaking(self, role: Role) -> Speaker:
        """The critic or the judge. Raises `Unsupported` for a model that writes nothing."""
        model = self._given[role] or self._opened(self._address(role))
        if "generate" not in model.capabilities:
            raise Unsupported(
                f"the {role} writes no texts",
                received=", ".join(sorted(model.capabilities)) or "no capability",
                expected="a model that can generate",
            )
        return model

    def forget(self) -> None:
        """Frees the model that is open, before another one is trained."""
        self._last = None

    def _address(self, role: Role) -> str:
        config = self._config
        named = config.critic if role == "critic" else config.judge or config.critic
        return named or str(config.model)

    def _opened(self, address: str) -> Speaker:
        if self._last is not None and self._last[0] == address:
            return self._last[1]
        self._last = None  # freed before the next one is read
        if is_service(address):
            model = load(address)
        else:
            model = load(pathlib.Path(address), device=str(self._device), dtype=self._config.dtype)
        self._last = (address, model)
        return model
