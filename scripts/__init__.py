"""Operate: the `cgc` command, the rehearsal, evidence. The only room that may import all the others."""
