import Glibc

/// The reason why a service cannot start or had to end, on one line.
public struct ServiceFailure: Error, Hashable, CustomStringConvertible, Sendable {
    /// The problem and its remedy.
    public var description: String

    /// Creates a failure with this description.
    public init(_ description: String) {
        self.description = description
    }
}

/// The system's names of its errors.
enum SystemError {
    static func text(_ code: CInt) -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
        return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
