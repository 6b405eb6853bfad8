"""Converge hosts and the network: node bundles, the module that applies them, plays and roles."""
