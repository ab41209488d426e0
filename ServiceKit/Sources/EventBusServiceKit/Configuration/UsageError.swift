/// The error for an invalid command line or configuration. Its text is written to standard error, and the program exits
/// with 64.
///
/// ```swift
/// guard ttl > 0 else { throw UsageError("cache.ttl is \(ttl); it has to be above 0 seconds") }
/// ```
public struct UsageError: Error, Hashable, CustomStringConvertible, Sendable {
    /// The setting, its value unless it is secret, and the valid values.
    public var description: String

    /// Creates an error with this description.
    public init(_ description: String) {
        self.description = description
    }
}
