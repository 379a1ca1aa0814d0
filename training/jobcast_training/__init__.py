"""Trains predictors on job records: sources, features, families, ensemble, calibration."""
