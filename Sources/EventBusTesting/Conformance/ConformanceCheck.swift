/// One statement of a contract, executable against any implementation of it.
///
/// A conformance suite hands out its checks as an array, so that any test framework can run them one by one:
///
/// ```swift
/// @Test(arguments: LockConformance { RedisLock(…) }.checks)
/// func conforms(check: ConformanceCheck) async throws {
///     try await check.run()
/// }
/// ```
public struct ConformanceCheck: Sendable {
    /// What the contract says, as a sentence.
    public let name: String
    /// Checks it; throws ``ConformanceFailure`` where the implementation breaks the contract, and whatever the
    /// implementation itself throws.
    public let run: @Sendable () async throws -> Void

    /// A check of one statement.
    public init(_ name: String, run: @escaping @Sendable () async throws -> Void) {
        self.name = name
        self.run = run
    }
}

extension ConformanceCheck: CustomStringConvertible {
    /// The statement.
    public var description: String { name }
}
