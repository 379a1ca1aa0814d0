"""The Open Inference Protocol v2 over gRPC, and the tensors that its REST form shares."""
