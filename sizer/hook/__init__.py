"""Advice inside a training: waiting for its first step, reporting once, and `sizer run` around a whole script."""
