"""Training: the Lightning module, augmentation and callbacks shared by search and retraining."""
