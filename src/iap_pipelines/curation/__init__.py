"""Raw videos to clips of known people: stages that measure, gates that decide, a ledger that loses nothing."""
