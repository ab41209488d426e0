import EventBus
import ServiceLifecycle

/// The report of an error that ended a service: a text on one line, and an exit code.
struct FailureReport {
    let text: String
    /// A Boolean value indicating whether the configuration is invalid, so that `--help` may help.
    let isUsage: Bool
    private let executable: String

    init(_ error: any Error, executable: String, redaction: Redaction = Redaction()) {
        let text =
            switch error {
            case let error as EventBusError: error.message
            case let error as ServiceGroupError: "a part of the service ended by itself: \(error)"
            default: "\(error)"
            }
        self.text = redaction.redact(
            text.split(whereSeparator: \.isNewline).joined(separator: " ").cut(toUTF8Length: 4096).printable
        )
        self.isUsage = error is UsageError || (error as? EventBusError)?.code == .invalidConfiguration
        self.executable = executable
    }

    /// Writes the report. Returns the exit code.
    func write(to errors: LineWriter) -> Int32 {
        errors.write("\(executable): \(text)" + (isUsage ? "\nTry \(executable) --help." : ""))
        return isUsage ? 64 : 1
    }
}
