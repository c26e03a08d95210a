"""The published study: its data read, its analysis repeated, on anyone's measurements."""
