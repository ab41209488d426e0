import EventBus
import ServiceLifecycle
import TerminalText

/// The description of an error that ended a service, on one line.
enum FailureText {
    static func line(_ error: any Error) -> String {
        let text =
            switch error {
            case let error as EventBusError: error.message
            case let error as ServiceGroupError: "a part of the service ended by itself: \(error)"
            default: "\(error)"
            }
        return text.split(whereSeparator: \.isNewline).joined(separator: " ").cut(toUTF8Length: 4096).printable
    }
}
