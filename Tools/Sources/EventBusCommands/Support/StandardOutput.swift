import FoundationEssentials
import Glibc
import Synchronization
import TerminalText

/// Standard output, which a reader may close.
///
/// A command that changes something goes on without it, because half of a change is worse than a missing line. So output
/// that cannot be written is noted, and is no error.
enum StandardOutput {
    /// The error number of the first output that could not be written, or `nil`.
    private static let failure = Mutex<Int32?>(nil)

    /// A Boolean value indicating whether nothing can be written any more, so that a command that only prints may end.
    static var isClosed: Bool { failure.withLock { $0 != nil } }

    /// The reason why output is missing, or `nil` if all was written or its reader has closed it.
    static var problem: CommandFailure? {
        failure.withLock { $0 }.flatMap { $0 == EPIPE ? nil : unwritable($0) }
    }

    /// Writes a text on one line, without control characters.
    static func line(_ text: String) {
        self.text(text.printable)
    }

    /// Writes lines as they are. Their foreign parts have to be printable.
    static func text(_ lines: String) {
        write(Array((lines + "\n").utf8))
    }

    /// Writes a value as one line of JSON.
    static func json(_ value: some Encodable) throws {
        write(Array(try encoded(value)) + [UInt8(ascii: "\n")])
    }

    private static func write(_ bytes: [UInt8]) {
        guard !isClosed else { return }
        let problem = write(bytes, STDOUT_FILENO)
        if problem != 0 { failure.withLock { $0 = problem } }
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
    ///
    /// - Throws: ``CommandFailure``, without a sentence if the reader has closed the descriptor.
    static func write(_ bytes: [UInt8], to descriptor: Int32) throws(CommandFailure) {
        let problem = write(bytes, descriptor)
        if problem != 0 { throw problem == EPIPE ? CommandFailure("") : unwritable(problem) }
    }

    /// Writes all bytes to a descriptor, and returns the error number or 0.
    private static func write(_ bytes: [UInt8], _ descriptor: Int32) -> Int32 {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return count < 0 ? errno : EIO }
            rest = rest.dropFirst(count)
        }
        return 0
    }

    private static func unwritable(_ number: Int32) -> CommandFailure {
        CommandFailure("the output cannot be written: \(String(cString: strerror(number)))")
    }
}
