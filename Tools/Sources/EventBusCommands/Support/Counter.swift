import Synchronization

/// A count that several tasks change.
final class Counter: Sendable {
    private let count = Atomic(0)

    /// The present count.
    var value: Int { count.load(ordering: .relaxed) }

    /// Adds one, and returns the new count.
    @discardableResult
    func increment() -> Int { count.wrappingAdd(1, ordering: .relaxed).newValue }
}
