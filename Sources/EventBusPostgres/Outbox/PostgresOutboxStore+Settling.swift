internal import EventBus
internal import EventBusOutbox

extension PostgresOutboxStore {
    /// Returns the statements that write outcomes, and the topics that have just turned out to have no subscription.
    ///
    /// - Parameters:
    ///   - tries: The failed attempts for each topic that has events which were set aside.
    ///   - publishes: `true` if this relay publishes. The one that does may have passed over the present time.
    func settle(
        _ settlement: Settlement,
        tries: [String: Int],
        now: EventTime,
        publishes: Bool
    ) -> (statements: [PostgresStatement], newlyUnrouted: [String]) {
        var statements: [PostgresStatement] = []
        if settlement.isEmpty { return ([], []) }
        if !settlement.published.isEmpty {
            statements.append(OutboxSQL.delete(settlement.published, from: .outbox))
        }
        statements += settlement.parked.map { OutboxSQL.park($0, now: now) }
        statements += settlement.early.map { OutboxSQL.delay($0.place, until: $0.readyAt) }
        var (tries, newlyUnrouted) = (tries, [String]())
        for probe in settlement.probes {
            let known = tries[probe.topic]
            switch probe.outcome {
            case .published:
                statements.append(OutboxSQL.delete([probe.place], from: .unrouted))
                statements.append(OutboxSQL.note(probe.topic, tries: 0, nextAt: EventTime(milliseconds: 0)))
                tries[probe.topic] = 0
                continue
            case .held(let attempts):
                statements.append(OutboxSQL.setAttempts(attempts, of: probe.place))
            case .unrouted:
                if !probe.isProbe {
                    statements.append(OutboxSQL.move(probe.place, from: .outbox, to: .unrouted))
                    // Other events of its topic were in flight when the first one was returned.
                    if let known, known > 0 { continue }
                }
            }
            let next = min(max(0, known ?? 0), 10_000) + 1
            let pause = max(.milliseconds(1), settings.subscriberWait.delay(afterAttempt: next))
            statements.append(OutboxSQL.note(probe.topic, tries: next, nextAt: now + pause))
            tries[probe.topic] = next
            if known == nil { newlyUnrouted.append(probe.topic) }
        }
        if !settlement.advancedKeys.isEmpty {
            // A time that no relay has passed over.
            let time = publishes ? now : EventTime(milliseconds: 1)
            statements.append(OutboxSQL.advance(settlement.advancedKeys.map(\.text), now: time))
            if !publishes { statements.append(OutboxSQL.noteReplay) }
        }
        statements += settlement.delayed.map { OutboxSQL.postpone($0) }
        for (topic, count) in settlement.recovered {
            statements.append(OutboxSQL.release(count * 2, of: topic.rawValue, now: now))
        }
        if settlement.releasesHeld { statements.append(OutboxSQL.releaseHeld(now: now)) }
        return (statements, newlyUnrouted)
    }
}
