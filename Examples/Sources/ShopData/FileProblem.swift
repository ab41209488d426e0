import FoundationEssentials
import Glibc

/// The error for a file that cannot be read or written, described so that a person can act on it.
public struct FileProblem: Error, CustomStringConvertible {
    /// The path.
    public var file: String
    /// The action that failed: `read` or `written`.
    public var action: String
    /// The cause.
    public var cause: any Error

    /// Creates a problem with a file.
    public init(file: String, action: String, cause: any Error) {
        self.file = file
        self.action = action
        self.cause = cause
    }

    /// The file, action and reason on one line.
    public var description: String { "\(file) cannot be \(action): \(reason)" }

    private var reason: String {
        let underlying = (cause as? CocoaError)?.userInfo["NSUnderlyingError"]
        guard let code = (underlying as? POSIXError ?? cause as? POSIXError)?.code else { return "\(cause)" }
        return String(cString: strerror(code.rawValue))
    }
}
