"""A finished student in other forms: for ONNX Runtime, smaller, or of transformers' own classes."""
