"""Training in one go on a lent GPU: packed here, trained there, taken back here.

The machine with the GPU may be offline and bare: what is imported there needs torch, numpy, scipy,
scikit-image, safetensors and the standard library alone (``scripts/train_gpu``).
"""
