package import Logging

/// A logger that writes messages in order from a separate task, because a log handler is user code, may block, and must
/// not delay an I/O thread.
package final class BackgroundLogger: Sendable {
    private struct Line: Sendable {
        var level: Logger.Level
        var message: String
        var metadata: [String: String]
    }

    private let lines: BackgroundQueue<Line>

    package init(_ logger: Logger) {
        lines = BackgroundQueue(capacity: 4096) { lines, dropped in
            for line in lines {
                logger.log(
                    level: line.level,
                    "\(line.message)",
                    metadata: line.metadata.mapValues { .string(String(loggable: $0)) }
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

    package func debug(_ message: String, metadata: [String: String] = [:]) { add(.debug, message, metadata) }
    package func info(_ message: String, metadata: [String: String] = [:]) { add(.info, message, metadata) }
    package func warning(_ message: String, metadata: [String: String] = [:]) { add(.warning, message, metadata) }

    private func add(_ level: Logger.Level, _ message: String, _ metadata: [String: String]) {
        lines.add(Line(level: level, message: message, metadata: metadata))
    }
}
