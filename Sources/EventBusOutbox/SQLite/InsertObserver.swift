#if SQLite
internal import EventBus
internal import GRDB

/// An observer that calls a closure when a transaction that stored an event has committed, on the connection that it is
/// added to.
///
/// GRDB calls it only on the connection's queue. The flag is locked nevertheless, because a lock is cheap.
final class InsertObserver: TransactionObserver, Sendable {
    private let hasInserted = Locked(false)
    private let onCommit: @Sendable () -> Void

    init(onCommit: @escaping @Sendable () -> Void) {
        self.onCommit = onCommit
    }

    func observes(eventsOfKind eventKind: DatabaseEventKind) -> Bool {
        if case .insert(let table) = eventKind { table == "eventbus_outbox" } else { false }
    }

    func databaseDidChange(with event: DatabaseEvent) {
        hasInserted.withLock { $0 = true }
        stopObservingDatabaseChangesUntilNextTransaction()
    }

    func databaseDidCommit(_ db: Database) {
        let mustCall = hasInserted.withLock { flag in
            defer { flag = false }
            return flag
        }
        if mustCall { onCommit() }
    }

    func databaseDidRollback(_ db: Database) {
        hasInserted.withLock { $0 = false }
    }
}
#endif
