// Replaced by tests of the transport.
