"""Programs to copy: how a shop's backend talks to Holdfast. Nothing of Holdfast is imported here."""
