import FoundationEssentials
import Glibc

/// A file that cannot be read or written, in words that a person can act on.
struct FileProblem: Error, CustomStringConvertible {
    var file: String
    /// What could not be done: `read` or `written`.
    var action: String
    var cause: any Error

    var description: String { "\(file) cannot be \(action): \(reason)" }

    private var reason: String {
        let underlying = (cause as? CocoaError)?.userInfo["NSUnderlyingError"]
        guard let code = (underlying as? POSIXError)?.code else { return "\(cause)" }
        return String(cString: strerror(code.rawValue))
    }
}
