"""Which options suit this machine and a bundle: measured here, side by side, and written to a profile."""
