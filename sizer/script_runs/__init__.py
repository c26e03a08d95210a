"""Scripts that train: starting one, finding its steps between optimizer steps, splitting their time."""
