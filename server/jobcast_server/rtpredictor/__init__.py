"""The contract `rtpredictor.v1`: single predictions, batches and streams of HPC jobs."""
