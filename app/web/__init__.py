"""Between HTTP and the services: who may ask, what is refused and how, fragments, files, and what the views share."""
