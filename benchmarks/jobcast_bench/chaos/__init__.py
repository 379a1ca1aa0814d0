"""Faults brought to a real server under load: what was promised, what was lost, how long until normal."""
