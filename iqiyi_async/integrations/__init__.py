"""Other people's engines that start runners of a batch. The ledger stays the truth: they only start them."""
