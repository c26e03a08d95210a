"""From a file or arrays to the matrices that a search trains on."""
