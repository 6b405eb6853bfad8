"""Code that modules carry with them."""
