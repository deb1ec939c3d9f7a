"""One connection of our own: dialling, TLS, and HTTP/1.1 over it."""
