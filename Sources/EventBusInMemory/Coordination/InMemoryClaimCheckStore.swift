public import EventBus

/// A ``/EventBus/ClaimCheckStore`` in memory, for tests.
///
/// ```swift
/// let store = InMemoryClaimCheckStore()
/// var configuration = EventBusConfiguration()
/// configuration.claimCheck = ClaimCheck(store: store, threshold: 1000)
/// ```
public final class InMemoryClaimCheckStore: ClaimCheckStore {
    private let bodies = Locked<[ClaimCheckName: [UInt8]]>([:])

    /// Creates an empty store.
    public init() {}

    /// The stored bodies.
    public var all: [ClaimCheckName: [UInt8]] { bodies.withLock { $0 } }

    /// Stores a body.
    public func put(_ body: [UInt8], named name: ClaimCheckName) async throws {
        try Task.checkCancellation()
        bodies.withLock { $0[name] = body }
    }

    /// Returns the body of this name, or `nil` if none is stored.
    public func get(_ name: ClaimCheckName) async throws -> [UInt8]? {
        try Task.checkCancellation()
        return bodies.withLock { $0[name] }
    }

    /// Removes the body of this name, if one is stored.
    public func remove(_ name: ClaimCheckName) async throws {
        bodies.withLock { $0[name] = nil }
    }
}
