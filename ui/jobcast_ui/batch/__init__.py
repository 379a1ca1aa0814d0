"""The page that predicts a file of records."""
