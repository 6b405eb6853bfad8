"""The only code that talks to devices and APIs, and it only reads; whatever does not answer becomes a Silence."""
