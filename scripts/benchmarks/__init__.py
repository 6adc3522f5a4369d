"""What the dashboard costs, as ratios that mean the same on any machine: see docs/speed.md."""
