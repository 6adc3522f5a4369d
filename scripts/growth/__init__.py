"""What growth does: units, hot keys and a month's cost by the app's own calls; a run under load; a rolling release."""
