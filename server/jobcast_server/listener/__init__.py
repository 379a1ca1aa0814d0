"""The gRPC port, served by gRPC's own server on the event loop or by the core's threads; the methods are the same."""
