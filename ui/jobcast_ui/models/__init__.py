"""Models: what every version tells of itself, and two of them compared on a file."""
