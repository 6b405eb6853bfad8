"""`python -m scripts.toolchain` does what `cgc toolchain` does: the set-up needs no more of the command than this."""

from scripts.toolchain.cli import main

main()
