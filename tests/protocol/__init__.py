"""The protocol floor, without an event loop: literal requests out, literal answers in."""
