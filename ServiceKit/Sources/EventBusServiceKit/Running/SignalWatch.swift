import Dispatch
import Glibc
import Synchronization

/// A watch for signals that end a service. The first one requests a graceful shutdown, and the second one ends the
/// process immediately.
///
/// The second one is handled on a separate queue, so that a service whose threads are all busy ends as well.
final class SignalWatch: Sendable {
    // Sendable because it is written only here, and Dispatch sources may be used from any thread.
    private struct Source: @unchecked Sendable {
        let signal: any DispatchSourceSignal
    }

    private let sources: [Source]
    private let count = SignalCount()

    /// Starts to watch. Signals that arrive after the call has returned are handled.
    ///
    /// - Parameters:
    ///   - signals: The signals to watch for.
    ///   - onFirst: A closure that is called with the number of the first signal.
    ///   - onSecond: A closure that is called with the number of every further one. Defaults to ending the process.
    init(
        for signals: [CInt] = [SIGTERM, SIGINT],
        onFirst: @escaping @Sendable (CInt) -> Void,
        onSecond: @escaping @Sendable (CInt) -> Void = { _exit(128 + $0) }
    ) {
        let queue = DispatchQueue(label: "signals")
        let count = count
        sources = signals.map { number in
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                if count.next() == 1 { onFirst(number) } else { onSecond(number) }
            }
            let isWatching = DispatchSemaphore(value: 0)
            source.setRegistrationHandler { isWatching.signal() }
            source.activate()
            isWatching.wait()
            return Source(signal: source)
        }
    }

    /// Stops watching.
    func stop() {
        for source in sources { source.signal.cancel() }
    }

    deinit {
        stop()
    }
}

private final class SignalCount: Sendable {
    private let count = Atomic(0)

    func next() -> Int {
        count.add(1, ordering: .relaxed).newValue
    }
}
