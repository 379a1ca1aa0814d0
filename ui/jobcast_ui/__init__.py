"""The web app of jobcast: every number on it is an answer or a metric of a running server, got by the public client."""
