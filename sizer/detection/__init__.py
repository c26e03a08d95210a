"""Detection of CPUs and GPUs: small probes that each read a part, put together in `detect`."""
