"""What all uploads of a client share: workers, their number and the size of ranges, and the bandwidth."""
