public import EventBus
import GRDB
import PostgresDriver

/// Runs `body`, and reports an unreachable, busy or full database as an outage in the bus's terms. An event that is
/// being handled is then deferred and uses up no attempt.
///
/// - Throws: `EventBusError` with code `.unavailable` for an outage; ``UnstorableValue`` for a value that the database will
///   never store; any other error of `body`.
public func reportingOutages<Value>(_ body: () async throws -> Value) async throws -> Value {
    do {
        return try await body()
    } catch let error where isOutage(error) {
        throw EventBusError(.unavailable, "the database cannot be used at the moment", underlying: error)
    } catch let error as PostgresError where error.isAboutValue {
        throw UnstorableValue(reason: error.description)
    }
}

/// The error for a value of an event that the database will never store.
public struct UnstorableValue: Error, NonRetryable, Hashable, CustomStringConvertible {
    /// The reason in the words of the database.
    public let reason: String

    /// The reason.
    public var description: String { reason }
}

private func isOutage(_ error: any Error) -> Bool {
    switch error {
    case let error as DatabaseError: outages.contains(error.resultCode)
    case let error as PostgresError: error.isTemporary
    default: false
    }
}

/// The results of SQLite with which the same work may succeed later.
private let outages: [ResultCode] = [.SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_FULL, .SQLITE_IOERR]

extension SubscriptionOptions {
    /// The options of a handler that needs a database or another server, without which it fails for up to three days.
    ///
    /// Events that fail because of an outage use up no attempt. If most events fail, the breaker leaves them with the
    /// broker, and one at a time probes every five seconds. Only errors that a retry cannot fix make dead letters earlier.
    public static let outlastingOutages = SubscriptionOptions(
        retry: RetryPolicy(maximumAttempts: .max, maximum: .seconds(5), maximumTime: threeDays),
        maximumDeferral: threeDays,
        breaker: CircuitBreaker(minimumAttempts: 5, window: .seconds(120), probeInterval: .seconds(5))
    )

    private static let threeDays = Duration.seconds(3 * 24 * 60 * 60)
}
