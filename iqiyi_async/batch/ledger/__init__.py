"""The ledger of a batch: what it promises, and how SQLite and PostgreSQL keep it."""
