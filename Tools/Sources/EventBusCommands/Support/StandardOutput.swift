import ArgumentParser
import FoundationEssentials
import Glibc
import TerminalText

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

    /// Returns a value as JSON on one line. All characters that a terminal would interpret are escaped.
    static func encoded(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let json = try encoder.encode(value)
        // JSON requires escapes only below U+0020. Most lines contain nothing but printable ASCII.
        if json.allSatisfy({ $0 < 0x7F }) { return json }
        let text = String(decoding: json, as: UTF8.self)
        guard text.unicodeScalars.contains(where: \.isUnprintable) else { return json }
        var escaped = ""
        for scalar in text.unicodeScalars {
            guard scalar.isUnprintable else {
                escaped.unicodeScalars.append(scalar)
                continue
            }
            // It is inside a text, because everything else in JSON is ASCII.
            for unit in String(scalar).utf16 {
                let digits = String(unit, radix: 16)
                escaped += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
        }
        return Data(escaped.utf8)
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
