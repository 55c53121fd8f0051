"""Which values share a loop nest."""
