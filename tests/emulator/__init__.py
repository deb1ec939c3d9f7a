"""Tests of the emulator: bytes by hand and a plain HTTP client on one side, real sockets in between."""
