"""Experiments: models trained on the same shards with the same steps, scored alike, in one table.

`experiment` reads what is asked for, `plan` makes a request of each row and seed, `measure` trains and scores one,
`records` and `results` read what was measured, and `table` writes it down.
"""
