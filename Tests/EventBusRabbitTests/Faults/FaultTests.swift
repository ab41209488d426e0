import Testing

/// Tests that harm brokers, connections and processes. They run one after another, so that they do not affect each
/// other's deadlines.
@Suite(.serialized) enum FaultTests {}
