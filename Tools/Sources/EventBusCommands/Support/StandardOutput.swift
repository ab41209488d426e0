import ArgumentParser
import FoundationEssentials
import Glibc

/// Standard output, which a reader may close.
enum StandardOutput {
    /// Writes a line.
    ///
    /// - Throws: `ExitCode` if nobody reads the output any more.
    static func line(_ text: String) throws {
        try write(Array((text + "\n").utf8), to: STDOUT_FILENO)
    }

    /// Writes a value as one line of JSON.
    static func json(_ value: some Encodable) throws {
        try write(Array(try encoded(value)) + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
    }

    /// Returns a value as JSON on one line.
    static func encoded(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(value)
    }

    /// Writes all bytes to a descriptor.
    static func write(_ bytes: [UInt8], to descriptor: Int32) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EPIPE { throw ExitCode.success }
            guard count > 0 else {
                throw CommandFailure("the output cannot be written: \(String(cString: strerror(errno)))")
            }
            rest = rest.dropFirst(count)
        }
    }
}
