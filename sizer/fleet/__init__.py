"""Several machines: which is the cheaper one, and from which size on."""
