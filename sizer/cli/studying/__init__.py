"""The sub-commands of `sizer study`, by what they work on: files, runs, analyses. `sizer.cli.study` lists them."""
