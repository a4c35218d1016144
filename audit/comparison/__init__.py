"""The comparison of everything published with the model."""
