"""The engine, the session, the tokens and the door, against servers on real sockets."""
