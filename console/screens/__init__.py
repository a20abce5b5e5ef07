"""The console's screens, one module a mode. They compose widgets and talk to the session through the app, never to a client."""
