"""Other inference servers and clients, each in an environment of its own, so that none of their pins meets ours."""
