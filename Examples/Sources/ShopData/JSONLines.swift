import FoundationEssentials
import TerminalText

/// A file with one JSON value on each line.
public struct JSONLines<Value: Decodable> {
    /// An invalid line.
    public struct Problem: Hashable, CustomStringConvertible {
        /// The path.
        public var file: String
        /// The number of the line, from 1.
        public var line: Int
        /// The problem with it.
        public var reason: String

        /// The problem in the format `FILE:LINE: reason`.
        public var description: String { "\(file):\(line): \(reason.cut(toUTF8Length: 500))".printable }
    }

    /// The values of the valid lines, in order.
    public private(set) var values: [Value] = []
    /// The invalid lines, in order.
    public private(set) var problems: [Problem] = []

    /// Reads a file. Invalid lines are recorded and skipped.
    ///
    /// - Parameters:
    ///   - file: The path.
    ///   - key: The value that must be unique. If two lines share it, the first one counts.
    /// - Throws: ``FileProblem`` if the file cannot be read.
    public init(file: String, uniqueBy key: (name: String, of: (Value) -> String)) throws {
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: file))
        } catch {
            throw FileProblem(file: file, action: "read", cause: error)
        }
        self.init(text: [UInt8](data), file: file, uniqueBy: key)
    }

    /// Parses the text of a file.
    ///
    /// - Parameters:
    ///   - text: The whole text.
    ///   - file: The file name in problems.
    ///   - key: The value that must be unique. If two lines share it, the first one counts.
    public init(text: [UInt8], file: String, uniqueBy key: (name: String, of: (Value) -> String)) {
        let decoder = JSONDecoder()
        var firstLines: [String: Int] = [:]
        let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (number, line) in zip(1..., lines) where !line.allSatisfy(\.isJSONSpace) {
            do {
                let value = try decoder.decode(Value.self, from: Data(line))
                if let first = firstLines[key.of(value)] {
                    let reason = "\(key.name) \(key.of(value)) occurs in line \(first) already"
                    problems.append(Problem(file: file, line: number, reason: reason))
                } else {
                    firstLines[key.of(value)] = number
                    values.append(value)
                }
            } catch {
                problems.append(Problem(file: file, line: number, reason: Self.describe(error)))
            }
        }
    }

    private static func describe(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        switch error {
        case .keyNotFound(let key, let context):
            return "\(path(context.codingPath + [key])) is missing"
        case .typeMismatch(let type, let context):
            return "\(path(context.codingPath)) is no \(type)"
        case .valueNotFound(_, let context):
            return "\(path(context.codingPath)) is null"
        case .dataCorrupted(let context) where context.codingPath.isEmpty:
            return "not valid JSON"
        case .dataCorrupted(let context):
            return "\(path(context.codingPath)): \(context.debugDescription)"
        @unknown default:
            return "\(error)"
        }
    }

    private static func path(_ keys: [any CodingKey]) -> String {
        if keys.isEmpty { return "the line" }
        return keys.reduce(into: "") { path, key in
            if let index = key.intValue {
                path += "[\(index)]"
            } else {
                path += (path.isEmpty ? "" : ".") + key.stringValue
            }
        }
    }
}

extension UInt8 {
    fileprivate var isJSONSpace: Bool { [0x20, 0x09, 0x0D].contains(self) }
}
