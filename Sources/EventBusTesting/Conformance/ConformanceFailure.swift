/// An implementation broke its contract.
public struct ConformanceFailure: Error, Sendable {
    /// What was expected, and what was seen.
    public var message: String
    /// The source file of the check.
    public var file: String
    /// The line of the check.
    public var line: Int

    /// A failure; `file` and `line` default to the caller's.
    public init(_ message: String, file: String = #fileID, line: Int = #line) {
        self.message = message
        self.file = file
        self.line = line
    }
}

extension ConformanceFailure: CustomStringConvertible {
    /// The message, and where the check stands.
    public var description: String { "\(message) (\(file):\(line))" }
}
