/// The way in which a holder of a ``SharedLock`` shares a resource with others.
public struct LockShare: Hashable, Sendable {
    /// The maximum number of holders, including this one, or `nil` if there must be no other.
    public let limit: Int?

    /// The resource has no other holder, as for a writer.
    public static let exclusive = LockShare(limit: nil)

    /// The resource has at most `limit` holders, none of them exclusive. A limit below 1 counts as 1.
    public static func shared(limit: Int) -> LockShare { LockShare(limit: max(1, limit)) }

    /// The resource has any number of holders, none of them exclusive, as for a reader.
    public static let shared = LockShare(limit: .max)
}
