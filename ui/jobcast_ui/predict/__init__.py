"""The page that predicts one record."""
