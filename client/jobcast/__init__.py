"""Client and command of jobcast."""
