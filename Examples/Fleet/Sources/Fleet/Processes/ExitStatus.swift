internal import Subprocess

/// The way in which a process ended.
public enum ExitStatus: Hashable, Sendable {
    /// The process exited with this code.
    case exited(Int32)
    /// The process was ended by this signal.
    case killed(Int32)

    init(_ status: TerminationStatus) {
        self =
            switch status {
            case .exited(let code): .exited(code)
            case .signaled(let signal): .killed(signal)
            }
    }
}

extension ExitStatus: CustomStringConvertible {
    /// A description such as `exit code 1`.
    public var description: String {
        switch self {
        case .exited(let code): "exit code \(code)"
        case .killed(let signal): "signal \(signal)"
        }
    }
}
