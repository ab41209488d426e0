import ConnectionThread
import EventBus

/// The last write that a server refused because of its own state. Only another write could reveal whether it still
/// would, because it answers everything else.
final class RefusedWrites: Sendable {
    /// The time for which a refusal is remembered.
    private static var memory: Duration { .seconds(60) }

    private let last = Locked<(refusal: RedisServerError, at: MonotonicTime)?>(nil)

    /// Records an error of the server, if it is one of those.
    func note(_ refusal: RedisServerError) {
        guard refusal.kind == "OOM" || refusal.kind == "NOREPLICAS" else { return }
        last.withLock { $0 = (refusal, .now) }
    }

    /// The last refusal within a minute.
    var recent: RedisServerError? {
        last.withLock { last in
            guard let last, last.at.duration(to: .now) < Self.memory else { return nil }
            return last.refusal
        }
    }
}
