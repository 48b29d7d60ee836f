"""What computes a model: torch, ONNX Runtime, OpenVINO, ...; and models for other programs."""
