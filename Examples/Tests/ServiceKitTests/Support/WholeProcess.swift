import Testing

/// Tests of what a process has one of, its metrics and its tracer: one after the other.
@Suite("The whole process", .serialized)
enum WholeProcess {}
