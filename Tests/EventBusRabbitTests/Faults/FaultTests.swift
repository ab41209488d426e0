import Testing

/// Tests that harm brokers, connections and processes: one after another, so that the deadlines they watch are theirs.
@Suite(.serialized) enum FaultTests {}
