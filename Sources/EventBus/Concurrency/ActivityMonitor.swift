/// The parts of a system under test whose work `InMemoryBroker.settled()` waits for, in addition to the broker's own
/// queues.
///
/// A part adds itself for as long as it runs:
///
/// ```swift
/// let monitor = bus.activityMonitor  // `nil` unless the transport is the in-memory broker's.
/// monitor?.add(self)
/// defer { monitor?.remove(self) }
/// ```
///
/// A bus on the in-memory broker adds itself when it is created. The monitor does not retain parts.
package final class ActivityMonitor: Sendable {
    private struct Entry: Sendable {
        weak var reporter: (any ActivityReporting)?
    }

    private let entries = Locked<[Entry]>([])

    package init() {}

    /// Adds a part. It is dropped when it is removed or deallocated.
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

    /// The registered parts.
    package var reporters: [any ActivityReporting] {
        entries.withLock { entries in entries.compactMap(\.reporter) }
    }
}

/// A part of a system whose work `settled()` waits for, such as a bus with its local listeners or an outbox relay.
///
/// Its report must be true at that instant. A relay that was told of a commit and has not read the table yet is busy,
/// not idle. Otherwise a test would continue before the event is published.
package protocol ActivityReporting: AnyObject, Sendable {
    /// Returns the part's current work. It is called often, so it must not perform I/O or wait.
    func activity() -> Activity
}

/// The work of a part of a system, as reported to `settled()`.
package enum Activity: Sendable {
    /// There is nothing to do.
    case idle

    /// The part is working.
    ///
    /// - Parameters:
    ///   - description: The work as text, for the error of a `settled()` that gives up, such as `3 events wait for
    ///     local listeners` or `the outbox relay publishes 12 events`.
    ///   - change: A signal that is raised as soon as the activity may have changed. The part is then asked again.
    case busy(description: String, change: Signal)

    /// Nothing happens before this instant of the bus's clock, unless something else causes it. On a manual clock,
    /// `settled()` advances to it when everything else is done.
    ///
    /// - Parameters:
    ///   - description: The work as text, such as `the outbox relay retries 2 events`.
    ///   - due: The earliest instant at which the part continues.
    ///   - change: A signal that is raised when the activity has changed, either before that instant or after the part
    ///     has continued.
    case waiting(description: String, due: AnyClock.Instant, change: Signal)
}

/// A transport to an in-process broker that can wait until everything is done.
package protocol ActivityMonitoring: Transport {
    /// The monitor of the transport's broker, which all its transports share.
    var activityMonitor: ActivityMonitor { get }
}
