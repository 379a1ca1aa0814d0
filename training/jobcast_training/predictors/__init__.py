"""Predictors: inputs with units, target, features, history. One file each."""
