"""Networks: image and tokens in, logits of named heads out."""
