/// One statement of a contract, which can be checked against any implementation.
///
/// A conformance suite returns its checks as an array, so that any test framework can run them individually:
///
/// ```swift
/// @Test(arguments: LockConformance { RedisLock(…) }.checks)
/// func conforms(check: ConformanceCheck) async throws {
///     try await check.run()
/// }
/// ```
public struct ConformanceCheck: Sendable {
    /// The statement of the contract, as a sentence.
    public let name: String
    /// The check. It throws ``ConformanceFailure`` if the implementation violates the contract, and rethrows any error
    /// of the implementation.
    public let run: @Sendable () async throws -> Void

    /// Creates a check of one statement.
    public init(_ name: String, run: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.run = run
    }
}

extension ConformanceCheck: CustomStringConvertible {
    /// The statement.
    public var description: String { name }
}
