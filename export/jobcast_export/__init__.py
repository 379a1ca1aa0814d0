"""Compiles a feature graph and trees to one verified ONNX bundle."""
