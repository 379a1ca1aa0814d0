"""`jobcast train` and `jobcast evaluate` of the predictors of an amount. Every choice is checked, no option is idle."""
