"""Converge platforms: one Pulumi program, one stack for each cluster."""
