"""Observe: collectors, the prober, and the only code that reads devices and APIs."""
