import ConnectionThread
import EventBus
import Glibc
import Synchronization

/// A time limit that frees a connection's thread from an endless send by shutting down the socket.
///
/// The library's sends wait for the peer without a limit, even if its owner has checked for room. Only another thread
/// that shuts down the socket ends such a send. The descriptor is a duplicate, because the library may have closed its
/// own at any time.
final class SendTimeout: Sendable {
    /// The maximum duration of a single send.
    static let limit = Duration.nanoseconds(limitInNanoseconds)
    private static let limitInNanoseconds: UInt64 = 800_000_000

    private let deadline = Atomic<UInt64>(.max)
    private let descriptor: Locked<Int32?>

    /// Starts to watch a socket, and takes ownership of the descriptor.
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

    /// Shuts the socket down if a send is overdue. It is called regularly from another thread.
    func check(at now: MonotonicTime) {
        guard deadline.load(ordering: .relaxed) <= now.nanoseconds else { return }
        shutDown()
    }

    /// Shuts down the socket that others are using.
    func shutDown() {
        descriptor.withLock { descriptor in
            // Under the lock, so that the number cannot belong to another file by then.
            if let descriptor { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// Closes the duplicate and stops watching.
    func close() {
        descriptor.withLock { descriptor in
            if let descriptor { Glibc.close(descriptor) }
            descriptor = nil
        }
    }
}

/// The time limits of all connections of one transport.
final class SendTimeoutMonitor: Sendable {
    private let sendTimeouts = Locked<[ObjectIdentifier: SendTimeout]>([:])

    func add(_ sendTimeout: SendTimeout) {
        sendTimeouts.withLock { $0[ObjectIdentifier(sendTimeout)] = sendTimeout }
    }

    func remove(_ sendTimeout: SendTimeout) {
        sendTimeouts.withLock { $0[ObjectIdentifier(sendTimeout)] = nil }
    }

    /// Watches while `body` runs, even if it is cancelled, because its connections are closed then.
    func watching<Result, Failure: Error>(
        _ body: () async throws(Failure) -> Result
    ) async throws(Failure) -> Result {
        // In a separate task, which the caller's cancellation does not reach.
        let checks = Task { await run() }
        defer { checks.cancel() }
        return try await body()
    }

    /// Checks until the task is cancelled. It runs on the cooperative thread pool, never on an I/O thread.
    @concurrent
    private func run() async {
        while (try? await Task.sleep(for: SendTimeout.limit / 4)) != nil {
            let now = MonotonicTime.now
            for sendTimeout in sendTimeouts.withLock({ Array($0.values) }) { sendTimeout.check(at: now) }
        }
    }
}
