// Replaced by the transport.
