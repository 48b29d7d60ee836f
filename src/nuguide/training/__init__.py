"""Training: recipe, targets, losses, augmentation, and the Lightning modules that fit models."""
