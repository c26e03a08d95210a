"""The method of the paper, in reading order; pure arithmetic on numpy arrays.

1. `hardware`: a machine as memory levels, one instance of each.
2. `training_step`: what a training step keeps for each parameter and activation.
3. `working_sets`: the sets f, t_l, b, o and d of a network, in bytes.
4. `placement`: the level on which each set lives.
5. `coefficients`: what an operation, an access or a MiB costs, and where that number is from.
6. `cost`: equations 2 to 9, the cost of a step and of a training.
7. `epochs_to_loss`: equation 10, how many steps a size needs.
8. `request`, `sweep`, `pricing`: what is asked, the sizes that are looked at, what each costs.
9. `recommendation`, `advisor`, `explanation`: which sizes are worth training, and why.

`docs/method.md` has the formulas under the same headings.
"""
