import Dispatch
import Glibc
import Synchronization

/// Watches for the signals that end a service: the first asks for an orderly end, the second ends the process at once.
///
/// The second is answered on a queue of its own, so that a service whose every thread is busy ends too.
final class SignalWatch: Sendable {
    // Proof of Sendable: written once, here; Dispatch's sources may be used from any thread.
    private struct Source: @unchecked Sendable {
        let signal: any DispatchSourceSignal
    }

    private let sources: [Source]
    private let count = SignalCount()

    /// Begins to watch for SIGTERM and SIGINT.
    ///
    /// - Parameters:
    ///   - onFirst: Called with the number of the first signal.
    ///   - onSecond: Called with the number of every further one; ends the process unless stated.
    init(
        onFirst: @escaping @Sendable (CInt) -> Void,
        onSecond: @escaping @Sendable (CInt) -> Void = { _exit(128 + $0) }
    ) {
        let queue = DispatchQueue(label: "signals")
        let count = count
        sources = [SIGTERM, SIGINT].map { number in
            let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
            source.setEventHandler {
                if count.next() == 1 { onFirst(number) } else { onSecond(number) }
            }
            source.activate()
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
