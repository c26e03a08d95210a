"""The sub-commands of `sizer study`, one short module each; `sizer.cli.study` lists them."""
