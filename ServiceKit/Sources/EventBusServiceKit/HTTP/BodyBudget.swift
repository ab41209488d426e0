import Synchronization

/// The number of bytes that request bodies may occupy together while they are received and decoded.
///
/// Without it, the memory of a service would depend on the number of its clients.
public final class BodyBudget: Sendable {
    /// The budget of requests that no server has given another one.
    static let standard = BodyBudget()

    /// The maximum number of bytes.
    let limit: Int
    private let used = Mutex(0)

    /// Creates a budget. Defaults to 32 MiB.
    public init(limit: Int = 32 << 20) {
        self.limit = limit
    }

    /// The number of bytes that are currently occupied.
    var usedBytes: Int { used.withLock { $0 } }

    /// Occupies bytes. Returns `false` if there are not enough.
    func take(_ count: Int) -> Bool {
        used.withLock { used in
            guard count <= limit - used else { return false }
            used += count
            return true
        }
    }

    /// Releases bytes.
    func release(_ count: Int) {
        used.withLock { $0 -= count }
    }
}
