import ConnectionThread
import EventBus
import Glibc
import Testing

/// Waits until `condition` is true. Fails after 20 s.
func eventually(
    _ condition: () -> Bool,
    sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let deadline = ContinuousClock.now.advanced(by: .seconds(20))
    while !condition() {
        if ContinuousClock.now > deadline {
            Issue.record("the condition did not come true within 20 s", sourceLocation: sourceLocation)
            return
        }
        await Task.yield()
    }
}

func countOfThreads() -> Int { entries(of: "/proc/self/task") }

func countOfDescriptors() -> Int { entries(of: "/proc/self/fd") - 1 }

private func entries(of path: String) -> Int {
    guard let directory = opendir(path) else { return 0 }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    return count - 2
}

final class TestPipe: Sendable {
    let readEnd: Int32
    private let writeEnd: Locked<Int32?>

    init() throws {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw EventBusError(.unavailable, "no pipe") }
        readEnd = ends[0]
        writeEnd = Locked(ends[1])
    }

    func write(_ byte: UInt8) {
        writeEnd.withLock { end in
            var byte = byte
            if let end { _ = Glibc.write(end, &byte, 1) }
        }
    }

    func closeWriteEnd() {
        writeEnd.withLock { end in
            if let end { close(end) }
            end = nil
        }
    }

    deinit {
        closeWriteEnd()
        close(readEnd)
    }
}

/// A job with a known position in the queue: an immediate task runs up to its first hop, which enqueues it.
struct OrderedJob {
    let body: @Sendable () -> Void

    func run(on thread: ConnectionThread) {
        let once = OnThread(thread: thread)
        Task.immediate { await once.run(body) }
    }
}

private actor OnThread {
    let thread: ConnectionThread

    init(thread: ConnectionThread) { self.thread = thread }

    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    func run(_ body: @Sendable () -> Void) { body() }
}
