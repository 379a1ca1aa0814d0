"""The search for hyper-parameters of a predictor of an amount: one study a member, by the plan's own objective."""
