import Testing

/// Tests of the metrics and the tracer, of which a process has one each. They are serialized.
@Suite("The whole process", .serialized)
enum WholeProcess {}
