import Glibc

/// Why a service cannot start, or had to end: one line for the person who runs it.
public struct ServiceFailure: Error, Hashable, CustomStringConvertible, Sendable {
    /// What was wrong, and what to do about it.
    public var description: String

    /// A failure that is described so.
    public init(_ description: String) {
        self.description = description
    }
}

/// What the system calls its errors.
enum SystemError {
    static func text(_ code: CInt) -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
