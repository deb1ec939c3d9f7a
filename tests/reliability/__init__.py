"""Nothing is lost: what survives cancellation, crashes and faults, and what the fixtures for users' suites promise."""
