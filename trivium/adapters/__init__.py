"""Small trained parts on a frozen model: attach, merge, route, and PEFT folders in and out."""

from trivium.adapters.routing import route

__all__ = ["route"]
