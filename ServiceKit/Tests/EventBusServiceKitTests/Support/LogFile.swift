import Glibc
import Logging

@testable import EventBusServiceKit

/// A file that log lines are written to and read from.
final class LogFile: Sendable {
    let writer: LineWriter
    private let directory: TemporaryDirectory
    private let descriptor: CInt

    init() throws {
        directory = try TemporaryDirectory()
        descriptor = open(directory.file("log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        writer = LineWriter(descriptor: descriptor)
    }

    deinit { close(descriptor) }

    var lines: [String] { directory.lines(of: "log") }

    /// Returns a logger that writes to the file.
    func logger(level: Logger.Level = .info, secrets: [String] = []) -> Logger {
        Logger(label: "orders") { label in
            JSONLogHandler(service: label, level: level, writer: self.writer, redaction: Redaction(secrets: secrets))
        }
    }
}
