"""Energy meters: one a file, behind the protocol in `sizer.meters.protocol`, chosen in `sizer.meters.choosing`."""
