"""How one stage asks for another without importing it: jobs, leases, the ledger."""
