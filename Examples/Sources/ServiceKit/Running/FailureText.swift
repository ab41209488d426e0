import EventBus
import ServiceLifecycle

/// What ended a service, in one line for the person who runs it.
enum FailureText {
    static func line(_ error: any Error) -> String {
        let text =
            switch error {
            case let error as EventBusError: error.message
            case let error as ServiceGroupError: "a part of the service ended by itself: \(error)"
            default: "\(error)"
            }
        return text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}
