import FoundationEssentials
import Glibc

/// A file that cannot be read or written, in words that a person can act on.
public struct FileProblem: Error, CustomStringConvertible {
    /// The path.
    public var file: String
    /// What could not be done: `read` or `written`.
    public var action: String
    /// Why.
    public var cause: any Error

    /// A problem with a file.
    public init(file: String, action: String, cause: any Error) {
        self.file = file
        self.action = action
        self.cause = cause
    }

    /// File, action and reason in one line.
    public var description: String { "\(file) cannot be \(action): \(reason)" }

    private var reason: String {
        let underlying = (cause as? CocoaError)?.userInfo["NSUnderlyingError"]
        guard let code = (underlying as? POSIXError ?? cause as? POSIXError)?.code else { return "\(cause)" }
        return String(cString: strerror(code.rawValue))
    }
}
