package import Logging

/// A logger that writes messages in order from a separate task, because a log handler is user code, may block, and must
/// not delay an I/O thread.
package final class BackgroundLogger: Sendable {
    private struct Line: Sendable {
        var level: Logger.Level
        var message: String
        var metadata: [String: String]
    }

    private struct State {
        var lines: [Line] = []
        var dropped = 0
        var isWriting = false
    }

    /// The maximum number of waiting messages, so that a handler that blocks permanently does not exhaust the memory.
    private static let maximumLines = 4096

    private let logger: Logger
    private let state = Locked(State())

    package init(_ logger: Logger) {
        self.logger = logger
    }

    package func debug(_ message: String, metadata: [String: String] = [:]) { add(.debug, message, metadata) }
    package func info(_ message: String, metadata: [String: String] = [:]) { add(.info, message, metadata) }
    package func warning(_ message: String, metadata: [String: String] = [:]) { add(.warning, message, metadata) }

    private func add(_ level: Logger.Level, _ message: String, _ metadata: [String: String]) {
        let isFirst = state.withLock { state in
            guard state.lines.count < Self.maximumLines else {
                state.dropped += 1
                return false
            }
            state.lines.append(Line(level: level, message: message, metadata: metadata))
            defer { state.isWriting = true }
            return !state.isWriting
        }
        if isFirst { Task.detached { [self] in write() } }
    }

    /// Writes until nothing is waiting.
    private func write() {
        while true {
            let (lines, dropped) = state.withLock { state in
                if state.lines.isEmpty { state.isWriting = false }
                defer { (state.lines, state.dropped) = ([], 0) }
                return (state.lines, state.dropped)
            }
            if lines.isEmpty { return }
            for line in lines {
                logger.log(
                    level: line.level,
                    "\(line.message)",
                    metadata: line.metadata.mapValues { .string($0.printable) }
                )
            }
            if dropped > 0 {
                logger.warning(
                    "dropped log entries because the log handler is too slow",
                    metadata: ["count": "\(dropped)"]
                )
            }
        }
    }
}
