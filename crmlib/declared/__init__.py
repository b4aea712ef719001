"""What people declare, read once: settings, periods, statement, the ledger's dictionary, judgement files. Uses nothing above."""
