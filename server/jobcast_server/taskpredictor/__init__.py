"""The REST contract of the task predictor: how long a task will take on given hardware and software, as quantiles."""
