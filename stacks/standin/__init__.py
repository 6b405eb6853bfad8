"""What the rehearsal runs in place of a platform whose real software is its owner's: a small real HTTP service."""
