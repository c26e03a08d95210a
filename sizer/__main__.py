"""``python -m sizer`` (and ``torchrun ... -m sizer run train.py``)."""

from sizer.cli import main

if __name__ == "__main__":
    main()
