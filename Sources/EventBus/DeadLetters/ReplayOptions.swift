/// The options for replaying dead letters.
///
/// ```swift
/// let count = try await bus.deadLetters(of: "inventory").replayAll(options: ReplayOptions(dryRun: true))
/// ```
public struct ReplayOptions: Hashable, Sendable {
    /// A Boolean value indicating whether dead letters are only counted. Defaults to `false`.
    public var dryRun: Bool
    /// The maximum number of dead letters sent per second, or `nil` for no limit. Defaults to `nil`.
    public var maximumPerSecond: Int?
    /// The queue to which dead letters are sent instead of that of their subscription, or `nil`. Defaults to `nil`.
    ///
    /// Use it for the dead letters of a subscription that has another name now. The other subscription must accept
    /// their topics, because it dead-letters every other event.
    public var queue: String?

    /// Creates options. Omitted values use the defaults.
    public init(dryRun: Bool = false, maximumPerSecond: Int? = nil, queue: String? = nil) {
        self.dryRun = dryRun
        self.maximumPerSecond = maximumPerSecond
        self.queue = queue
    }
}
