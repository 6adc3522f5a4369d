"""Everything that `scripts/run` needs on one machine: local AWS, its journal, the mailbox, the supervisor."""
