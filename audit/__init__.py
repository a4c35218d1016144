"""The independent model and the comparison of everything published with it; imports `schemas` only."""
