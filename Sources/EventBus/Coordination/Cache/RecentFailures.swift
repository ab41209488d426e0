/// The keys whose computation failed recently, with the errors. It reads no clock: the caller passes the time.
///
/// A caller that asks for such a key within that time gets the same error, so that not every caller asks a backend that
/// is down.
struct RecentFailures {
    private struct Failure {
        let error: any Error
        let type: ObjectIdentifier
        let tags: Set<ExactString>
        let until: AnyClock.Instant
    }

    /// The failures by the bytes of the key.
    private var failures: [[UInt8]: Failure] = [:]
    private var capacity = RecentFailures.smallestCapacity
    private static let smallestCapacity = 1000

    var count: Int { failures.count }

    /// Records that computing `keys` has failed.
    mutating func note(
        _ keys: [String],
        _ error: any Error,
        type: ObjectIdentifier,
        tags: Set<String>,
        until: AnyClock.Instant,
        now: AnyClock.Instant
    ) {
        guard now < until else { return }
        let failure = Failure(error: error, type: type, tags: Set(tags.map { ExactText($0) }), until: until)
        for key in keys { failures[Array(key.utf8)] = failure }
        guard failures.count > capacity else { return }
        failures = failures.filter { now < $0.value.until }
        // The next check is due when the number of active failures has doubled.
        capacity = max(Self.smallestCapacity, failures.count * 2)
    }

    /// Returns the error of the recent computation of `key`, or `nil` if no active failure is known.
    func error(for key: String, type: ObjectIdentifier, now: AnyClock.Instant) -> (any Error)? {
        guard !failures.isEmpty, let failure = failures[Array(key.utf8)], failure.type == type, now < failure.until
        else {
            return nil
        }
        return failure.error
    }

    /// Forgets the failures of `keys`, which have changed.
    mutating func forget(_ keys: [String]) {
        guard !failures.isEmpty else { return }
        for key in keys { failures[Array(key.utf8)] = nil }
    }

    /// Forgets the failures of computations with `tag`.
    mutating func forget(tag: String) {
        guard !failures.isEmpty else { return }
        failures = failures.filter { !$0.value.tags.contains(ExactText(tag)) }
    }
}
