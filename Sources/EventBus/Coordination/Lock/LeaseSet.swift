/// The leases of several resources that are held together.
///
/// ```swift
/// try await lock.withLocks(["sku-1", "sku-2"]) { leases in
///     try await stock.move(1, from: "sku-1", to: "sku-2")
///     try leases.check()
/// }
/// ```
public struct LeaseSet: ~Copyable, Sendable {
    private let holdings: [LeaseHolding]

    init(_ holdings: [LeaseHolding]) {
        self.holdings = holdings
    }

    /// The names of the locked resources without duplicates, in the order of acquisition.
    public var resources: [String] { holdings.map(\.grant.resource) }

    /// Returns the fencing token for `resource`, or `nil` if it is not among the locked resources.
    public func fencingToken(of resource: String) -> UInt64? {
        holdings.first { ExactText($0.grant.resource) == ExactText(resource) }?.grant.fencingToken
    }

    /// Throws if any of the leases has ended, as far as this process knows. See ``Lease/check()``.
    public func check() throws {
        for holding in holdings { try holding.check() }
    }
}
