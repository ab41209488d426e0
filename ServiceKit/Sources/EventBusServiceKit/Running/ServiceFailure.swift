/// The reason why a service cannot start or had to end, on one line.
///
/// ```swift
/// throw ServiceFailure("the mailbox \(path) is locked by another process; stop it first")
/// ```
///
/// The text is written to standard error, and the program exits with 1. For an invalid setting, throw ``UsageError``.
public struct ServiceFailure: Error, Hashable, CustomStringConvertible, Sendable {
    /// The problem and its remedy.
    public var description: String

    /// Creates a failure with this description.
    public init(_ description: String) {
        self.description = description
    }
}
