"""Predictors of an amount that is allocated before a job runs, such as memory: too little fails, too much is wasted."""
