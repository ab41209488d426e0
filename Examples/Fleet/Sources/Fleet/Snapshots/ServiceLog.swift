import Foundation

/// The log of a service, with one JSON object of strings on each line.
public struct ServiceLog: Sendable {
    /// One line.
    public struct Entry: Sendable {
        private let fields: [String: String]

        init?(line: some Collection<UInt8>) {
            guard let fields = try? JSONDecoder().decode([String: String].self, from: Data(line)) else { return nil }
            self.fields = fields
        }

        /// The message.
        public var message: String { fields["message"] ?? "" }

        /// A field, such as `event-id`.
        public subscript(_ key: String) -> String? { fields[key] }
    }

    /// The path.
    public let file: String

    /// Creates the log of a file.
    public init(file: String) {
        self.file = file
    }

    /// The size in bytes.
    var size: Int { contents(from: 0).count }

    /// Returns the complete lines after an offset. Lines that are not JSON are skipped, such as one whose writer was
    /// killed.
    public func entries(from offset: Int = 0) -> [Entry] {
        let text = contents(from: offset)
        guard let end = text.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        return text[..<end].split(separator: UInt8(ascii: "\n")).compactMap(Entry.init(line:))
    }

    /// The last lines.
    public var tail: String {
        let lines = contents(from: 0).split(separator: UInt8(ascii: "\n")).suffix(10)
        return lines.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "\n")
    }

    private func contents(from offset: Int) -> Data {
        guard let handle = FileHandle(forReadingAtPath: file) else { return Data() }
        defer { try? handle.close() }
        do {
            try handle.seek(toOffset: UInt64(offset))
            return try handle.readToEnd() ?? Data()
        } catch {
            return Data()
        }
    }
}
