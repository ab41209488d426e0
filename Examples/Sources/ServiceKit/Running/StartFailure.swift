import EventBus
import GRDB
import NIOCore

/// What ended a service, in one line.
enum StartFailure {
    static func text(_ error: any Error) -> String {
        let text =
            switch error {
            case let error as EventBusError: error.message
            default: "\(error)"
            }
        return text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}
