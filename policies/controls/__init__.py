"""One control in one file, named as a sentence; policies/catalogue.py finds them."""
