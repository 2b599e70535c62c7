"""What all packages share of the database: ids, its clock, bulk insert, lookups, the planner."""
