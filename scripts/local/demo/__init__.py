"""What `scripts/run` opens on: two demo accounts, a month that they have behind them, and work in the queue."""
