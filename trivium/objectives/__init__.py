"""What is optimised: one plain function a file, ``(model, batch) -> Loss``."""
