"""Modules: what Ansible runs on a node."""
