"""Pages: records as HTML that needs nothing else, made of the blocks that a terminal shows and of charts."""
