import ConnectionThread
import EventBus
import Glibc
import Synchronization

/// Frees a connection's thread from a send that does not end, by shutting the socket down under it.
///
/// The library's sends wait for the peer without a bound, also while the socket's owner has asked whether there is
/// room. Only shutting the socket down from another thread ends such a send. The descriptor is a duplicate of our own:
/// the library may have closed its one at any time.
final class SendWatchdog: Sendable {
    /// How long a single send may take.
    static let limit = Duration.nanoseconds(limitInNanoseconds)
    private static let limitInNanoseconds: UInt64 = 800_000_000

    private let deadline = Atomic<UInt64>(.max)
    private let descriptor: Locked<Int32?>

    /// Watches the socket; takes the descriptor over.
    init(takingOver descriptor: Int32) {
        self.descriptor = Locked(descriptor)
    }

    deinit {
        close()
    }

    /// Runs a send, which has to end within ``limit``.
    @inline(__always)
    func guarding<Result, Failure: Error>(_ send: () throws(Failure) -> Result) throws(Failure) -> Result {
        deadline.store(MonotonicTime.now.nanoseconds &+ Self.limitInNanoseconds, ordering: .relaxed)
        defer { deadline.store(.max, ordering: .relaxed) }
        return try send()
    }

    /// Shuts the socket down if a send is overdue; called regularly from another thread.
    func check(at now: MonotonicTime) {
        guard deadline.load(ordering: .relaxed) <= now.nanoseconds else { return }
        shutDown()
    }

    /// Ends the connection under whoever uses it.
    func shutDown() {
        descriptor.withLock { descriptor in
            // Under the lock, so that the number cannot belong to another file by then.
            if let descriptor { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// Closes the duplicate; the watch is over.
    func close() {
        descriptor.withLock { descriptor in
            if let descriptor { Glibc.close(descriptor) }
            descriptor = nil
        }
    }
}

/// Looks after the sends of all connections of one transport.
final class SendWatch: Sendable {
    private let watchdogs = Locked<[ObjectIdentifier: SendWatchdog]>([:])

    func add(_ watchdog: SendWatchdog) {
        watchdogs.withLock { $0[ObjectIdentifier(watchdog)] = watchdog }
    }

    func remove(_ watchdog: SendWatchdog) {
        watchdogs.withLock { $0[ObjectIdentifier(watchdog)] = nil }
    }

    /// Watches while `body` runs: also while it is cancelled, since its connections say goodbye then.
    func watching<Result, Failure: Error>(
        _ body: () async throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        // In a task of its own, which the caller's cancellation does not reach.
        let checks = Task { await run() }
        defer { checks.cancel() }
        return try await body()
    }

    /// Checks until the task is cancelled. Runs on the pool of the concurrency runtime, never on an I/O thread.
    @concurrent
    private func run() async {
        while (try? await Task.sleep(for: SendWatchdog.limit / 4)) != nil {
            let now = MonotonicTime.now
            for watchdog in watchdogs.withLock({ Array($0.values) }) { watchdog.check(at: now) }
        }
    }
}
