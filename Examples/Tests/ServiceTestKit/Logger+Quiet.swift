public import Logging

extension Logger {
    /// A logger that discards its messages.
    public static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}
