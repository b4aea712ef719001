"""How it runs: notebooks, kernels, the plan of a run, the report put into place, the command line."""
