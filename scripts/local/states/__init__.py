"""Every state that a tester needs, made by the app's services: for browser tests, screenshots and the local panel."""
