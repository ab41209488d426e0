/// The error for an implementation that violates its contract.
public struct ConformanceFailure: Error, Sendable {
    /// The expected and the actual behavior.
    public var message: String
    /// The source file of the check.
    public var file: String
    /// The line of the check.
    public var line: Int

    /// Creates a failure. `file` and `line` default to those of the caller.
    public init(_ message: String, file: String = #fileID, line: Int = #line) {
        self.message = message
        self.file = file
        self.line = line
    }
}

extension ConformanceFailure: CustomStringConvertible {
    /// The message, with the source location of the check.
    public var description: String { "\(message) (\(file):\(line))" }
}
