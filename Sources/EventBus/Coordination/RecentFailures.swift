/// Which keys could not be computed a short while ago, and why: no clock.
///
/// A caller that asks for one within that time gets the same error, so that a backend that is down is not asked by every
/// caller.
struct RecentFailures {
    private struct Failure {
        let error: any Error
        let type: ObjectIdentifier
        let tags: Set<String>
        let until: AnyClock.Instant
    }

    /// By the bytes of the key.
    private var failures: [[UInt8]: Failure] = [:]
    private var capacity = RecentFailures.smallestCapacity
    private static let smallestCapacity = 1000

    var count: Int { failures.count }

    /// Notes that computing `keys` has failed.
    mutating func note(
        _ keys: [String],
        _ error: any Error,
        type: ObjectIdentifier,
        tags: Set<String>,
        until: AnyClock.Instant,
        now: AnyClock.Instant
    ) {
        guard now < until else { return }
        let failure = Failure(error: error, type: type, tags: tags, until: until)
        for key in keys { failures[Array(key.utf8)] = failure }
        guard failures.count > capacity else { return }
        failures = failures.filter { now < $0.value.until }
        // The next look is due when those in force have doubled.
        capacity = max(Self.smallestCapacity, failures.count * 2)
    }

    /// Why `key` could not be computed; `nil` if nothing in force is known of it.
    func error(for key: String, type: ObjectIdentifier, now: AnyClock.Instant) -> (any Error)? {
        guard !failures.isEmpty, let failure = failures[Array(key.utf8)], failure.type == type, now < failure.until
        else {
            return nil
        }
        return failure.error
    }

    /// Forgets `keys`, of which something has changed.
    mutating func forget(_ keys: [String]) {
        guard !failures.isEmpty else { return }
        for key in keys { failures[Array(key.utf8)] = nil }
    }

    /// Forgets what was to be computed with `tag`.
    mutating func forget(tag: String) {
        guard !failures.isEmpty else { return }
        failures = failures.filter { !$0.value.tags.contains(tag) }
    }
}
