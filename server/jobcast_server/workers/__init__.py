"""Several processes on one port: a supervisor that answers no call, and workers that each are a whole server.

The supervisor loads neither onnxruntime nor gRPC. It holds the ports, starts workers anew, merges what they count, and
carries what one of them has to ask of the others.
"""
