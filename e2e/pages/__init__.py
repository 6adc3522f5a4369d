"""One object for each screen: where things are, so that the journeys say what a person does."""
