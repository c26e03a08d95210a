"""Tables in text: how the file is written, how each column is read, and the record of both."""
