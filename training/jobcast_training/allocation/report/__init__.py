"""The report on allocations: one HTML page and its pictures, from arrays alone."""
