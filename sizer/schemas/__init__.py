"""Published JSON schemas of every record that sizer prints, one file a format."""
