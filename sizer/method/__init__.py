"""The method of the paper, in reading order; pure arithmetic on numpy arrays: no file, clock, process, torch or print.

1. `hardware`: a machine as memory levels, one instance of each.
2. `training_step`: what a training step keeps for each parameter and activation.
3. `working_sets`: the sets f, t_l, b, o and d of a network, in bytes.
4. `placement`: the level on which each set lives.
5. `coefficients`: what an operation, an access or a MiB costs, and where that number is from.
6. `cost`: operations, and equations 2 to 9, the cost of a step and of a training.
7. `epochs_to_loss`: equation 10, and how hard a target is.
8. `reach`: whether a size reaches a loss at a rate, and after how many epochs, by recorded learning curves.
9. `expectation`: how hard a target may be when little is known, and what each size is expected to cost then.
10. `request`: what is asked, checked and with its defaults filled in.
11. `cost_to_loss`: what reaching a loss is expected to cost with each size, at the rate that suits it.
12. `sweep`: the sizes that are looked at, the caches that each set of them fills, what a step costs, and the limits.
13. `recommendation`: the record of the answer.
14. `picks`: the cheapest size of each cache that is filled, and the cheapest of all.
15. `advisor`: which sizes are worth training.
16. `explanation`: why a size is listed, or is not.

`docs/method.md` has the formulas under the same headings.
"""
