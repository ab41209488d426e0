/// An object on a broker that is missing or different from what subscriptions need.
///
/// ```swift
/// for difference in try await RabbitTransport.compare(topology, on: configuration) {
///     print(difference.object, difference.isMissing ? "is missing" : difference.reason)
/// }
/// ```
public struct TopologyDifference: Hashable, Sendable {
    /// The name of the exchange or queue.
    public var object: String
    /// A Boolean value indicating whether there is no such object.
    public var isMissing: Bool
    /// The difference, in words.
    public var reason: String
}
