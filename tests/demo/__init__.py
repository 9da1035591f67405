"""What the shim is about, in a minute: `make demo`."""
