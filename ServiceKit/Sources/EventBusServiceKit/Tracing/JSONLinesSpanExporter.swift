import EventBus
import Glibc
public import Logging
import Synchronization
import SystemPackage

/// An exporter that appends spans to a file as JSON lines, at least once per second.
///
/// Several processes may share the file, because lines are written as a whole. A process that is killed loses the spans
/// of its last second. If the file cannot be written (a full disk), spans are dropped and counted, and the service
/// continues.
///
/// ```swift
/// let exporter = try JSONLinesSpanExporter(path: "/var/log/inventory/spans.jsonl", logger: logger)
/// InstrumentationSystem.bootstrap(ServiceTracer(service: "inventory", exporter: exporter))
/// ```
///
/// A ``ServiceDefinition`` uses it if `trace.file` is set. In another program, call ``run()`` in a task of its own.
public final class JSONLinesSpanExporter: SpanExporter {
    /// The maximum size in bytes of the pending spans. Further ones are dropped.
    static let maximumPending = 16 << 20

    private let path: String
    private let descriptor: CInt
    private let redaction: Redaction
    private let logger: Logger
    private let state = Mutex(State())
    // Locked while the file is written, so that lines stay in order.
    private let writing = Mutex(())

    private struct State {
        var pending: [UInt8] = []
        var dropped = 0
    }

    /// Opens the file, and creates it if it does not exist.
    ///
    /// - Parameters:
    ///   - path: The path of the file. Its directory must exist.
    ///   - secrets: The texts that are never written, such as passwords.
    ///   - logger: The logger for dropped spans.
    /// - Throws: ``ServiceFailure`` if the file cannot be opened.
    public convenience init(path: String, secrets: [String] = [], logger: Logger) throws {
        try self.init(path: path, redaction: Redaction(secrets: secrets), logger: logger)
    }

    init(path: String, redaction: Redaction, logger: Logger) throws {
        let descriptor = open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw ServiceFailure("cannot open the trace file \(path): \(Errno(rawValue: errno))")
        }
        self.path = path
        self.descriptor = descriptor
        self.redaction = redaction
        self.logger = logger
        Self.endTornLine(descriptor)
    }

    deinit {
        writePending()
        close(descriptor)
    }

    /// Adds a span, which is written within a second.
    public func export(_ span: FinishedSpan) {
        let line = SpanLine.encode(span, redaction: redaction)
        state.withLock { state in
            if state.pending.count + line.count <= Self.maximumPending {
                state.pending += line
            } else {
                state.dropped += 1
            }
        }
    }

    /// Writes the pending spans once per second, until the task is cancelled.
    public func run() async {
        while (try? await Task.sleep(for: .seconds(1))) != nil { writePending() }
        writePending()
    }

    /// Writes the pending spans.
    public func flush() async {
        writePending()
    }

    private func writePending() {
        writing.withLock { _ in
            let lines = state.withLock { state in
                defer { state.pending = [] }
                return state.pending
            }
            var written = 0
            while written < lines.count {
                let count = lines.withUnsafeBytes { bytes in
                    write(descriptor, bytes.baseAddress.map { $0 + written }, bytes.count - written)
                }
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else {
                    let lost = lines[written...].count { $0 == UInt8(ascii: "\n") }
                    state.withLock { $0.dropped += lost }
                    break
                }
                written += count
            }
        }
        reportDropped()
    }

    private func reportDropped() {
        let dropped = state.withLock { state in
            defer { state.dropped = 0 }
            return state.dropped
        }
        guard dropped > 0 else { return }
        logger.warning("spans were dropped", metadata: ["spans": "\(dropped)", "file": "\(path)"])
    }

    /// Ends the partial line that a killed process may have left, so that the next one starts on a new line.
    private static func endTornLine(_ descriptor: CInt) {
        let size = lseek(descriptor, 0, SEEK_END)
        var last: UInt8 = 0
        guard size > 0, pread(descriptor, &last, 1, size - 1) == 1, last != UInt8(ascii: "\n") else { return }
        var end = UInt8(ascii: "\n")
        _ = write(descriptor, &end, 1)
    }
}
