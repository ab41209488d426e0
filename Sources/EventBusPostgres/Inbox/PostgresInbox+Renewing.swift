internal import ConnectionThread
package import EventBus

/// The renewals of claims, which run on the connection's thread.
extension PostgresInbox: ClaimRenewing {
    package func beginRenewing(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
        let sent = renewals.clock.now
        return try await begin(key, lease: lease) { [renewals] claim in
            renewals.hold(claim, lease: lease, sent: sent)
        }
    }

    package func startRenewing(
        _ claim: InboxClaim,
        lease: Duration,
        left: Duration,
        onOutcome: @escaping @Sendable (Result<Duration, any Error>) -> Void
    ) {
        renewals.begin(claim, lease: lease, left: left, onOutcome: onOutcome)
    }

    package func stopRenewing(_ claim: InboxClaim) {
        renewals.end(claim)
    }

    /// Extends an active claim without a waiting task.
    ///
    /// - Parameter pause: The time after which a record that another transaction holds is looked at again.
    static func renew(
        _ claim: InboxClaim,
        lease: Duration,
        over client: PostgresClient,
        pause: Duration = .milliseconds(20),
        completion: @escaping @Sendable (Result<Void, any Error>) -> Void
    ) {
        let statement: PostgresStatement
        do {
            statement = try InboxSQL.renew(claim, lease: milliseconds(lease)).checked()
        } catch {
            return completion(.failure(error))
        }
        client.send([InboxSQL.waitForTable, statement]) { results in
            do {
                let answer = try results.get()[1]
                if try answer.boolean(0, 0) { return completion(.success(())) }
                guard try answer.boolean(0, 1) else { throw EventBusError.notInForce(claim) }
                // Another consumer that takes over an expired claim holds its record for a moment, and the handler's own
                // transaction for longer.
                guard try answer.boolean(0, 2), pause < .milliseconds(500) else { return completion(.success(())) }
                client.thread.schedule(at: .now.advanced(by: pause)) {
                    renew(claim, lease: lease, over: client, pause: pause * 2, completion: completion)
                }
            } catch {
                completion(.failure(error))
            }
        }
    }
}
