"""What a setting must be."""

from trivium.errors import ConfigError


def require(holds: bool, what: str, *, received: str, expected: str, fix: str) -> None:
    """Raises ``ConfigError`` with these four parts unless the condition ``holds``."""
    if not holds:
        raise ConfigError(what, received=received, expected=expected, fix=fix)
