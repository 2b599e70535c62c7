"""Ask the provider whether a credential works: probes, schedule, on-demand checks."""
