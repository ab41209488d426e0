import ArgumentParser
import EventBus

/// A failure of a command: a sentence for people and an exit code for scripts.
struct CommandFailure: Error {
    var message: String
    var status: ExitCode

    /// Only a part was done, or something was found.
    static let partial = ExitCode(1)
    /// An input file is invalid (`EX_DATAERR`).
    static let invalidInput = ExitCode(65)
    /// The broker cannot be reached (`EX_UNAVAILABLE`).
    static let unavailable = ExitCode(69)
    /// The broker did not answer in time (`EX_TEMPFAIL`).
    static let noAnswer = ExitCode(75)
    /// The login or a permission was refused (`EX_NOPERM`).
    static let refused = ExitCode(77)
    /// The configuration is invalid (`EX_CONFIG`).
    static let invalidConfiguration = ExitCode(78)
    /// The command was interrupted.
    static let interrupted = ExitCode(130)

    init(_ message: String, status: ExitCode = partial) {
        self.message = message
        self.status = status
    }

    /// Creates the failure for an error, or returns `nil` for an error of the argument parser.
    init?(_ error: any Error) {
        switch error {
        case let failure as CommandFailure: self = failure
        case let error as EventBusError: self.init(error.sentence, status: Self.status(of: error.code))
        case is CancellationError: self.init("interrupted", status: Self.interrupted)
        default: return nil
        }
    }

    /// Returns the exit code for an error.
    static func status(of code: EventBusError.Code) -> ExitCode {
        switch code {
        case .invalidConfiguration, .invalidTopic, .invalidName: invalidConfiguration
        case .invalidEnvelope, .tooLarge: invalidInput
        case .authenticationFailed, .accessRefused: refused
        case .unavailable: unavailable
        case .timedOut, .indeterminate, .blocked: noAnswer
        default: partial
        }
    }
}

extension EventBusError {
    /// The message and its causes, without codes.
    fileprivate var sentence: String {
        guard let underlying, !message.contains("\(underlying)") else { return message }
        return "\(message): \(underlying)"
    }
}
