/// The parts of a system under test whose work `InMemoryBroker.settled()` waits for, beside the broker's own queues.
///
/// A part adds itself for as long as it runs:
///
/// ```swift
/// let monitor = bus.activityMonitor  // `nil` unless the transport is the in-memory broker's.
/// monitor?.add(self)
/// defer { monitor?.remove(self) }
/// ```
///
/// A bus on the in-memory broker adds itself when it is made. The monitor keeps no part alive.
package final class ActivityMonitor: Sendable {
    private struct Entry: Sendable {
        weak var reporter: (any ActivityReporting)?
    }

    private let entries = Locked<[Entry]>([])

    package init() {}

    /// Adds a part. It is forgotten when it is removed, or gone.
    package func add(_ reporter: any ActivityReporting) {
        entries.withLock { entries in
            entries.removeAll { $0.reporter == nil }
            entries.append(Entry(reporter: reporter))
        }
    }

    /// Removes a part.
    package func remove(_ reporter: any ActivityReporting) {
        entries.withLock { entries in
            entries.removeAll { $0.reporter == nil || $0.reporter === reporter }
        }
    }

    /// The parts there are.
    package var reporters: [any ActivityReporting] {
        entries.withLock { entries in entries.compactMap(\.reporter) }
    }
}

/// A part of a system whose work `settled()` waits for: a bus with its local listeners, an outbox relay.
///
/// What it reports has to be true at that instant. A relay that has been told of a commit and has not read the table yet
/// is busy, not idle: otherwise a test would go on before its event is published.
package protocol ActivityReporting: AnyObject, Sendable {
    /// The part's work at this instant. It is asked often: no I/O, no waiting.
    func activity() -> Activity
}

/// The work of a part of a system, as `settled()` needs to know it.
package enum Activity: Sendable {
    /// There is nothing to do.
    case idle

    /// Something is under way.
    ///
    /// - Parameters:
    ///   - description: The work in words, for the error of a `settled()` that gives up, such as
    ///     `3 events wait for local listeners` or `the outbox relay publishes 12 events`.
    ///   - change: Raised as soon as the answer may be another one; then the part is asked again.
    case busy(description: String, change: Signal)

    /// Nothing happens before this instant of the bus's clock, unless something else sets it off. On a manual clock
    /// `settled()` advances to it once everything else is done.
    ///
    /// - Parameters:
    ///   - description: The work in words, such as `the outbox relay retries 2 events`.
    ///   - due: The earliest instant at which the part goes on.
    ///   - change: Raised when the answer is another one, before that instant or once the part went on after it.
    case waiting(description: String, due: AnyClock.Instant, change: Signal)
}

/// A transport to a broker of this process, which can wait until everything is done.
package protocol ActivityMonitoring: Transport {
    /// The monitor of the transport's broker, shared by all transports to it.
    var activityMonitor: ActivityMonitor { get }
}
