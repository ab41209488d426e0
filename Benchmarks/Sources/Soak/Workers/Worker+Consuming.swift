import EventBus
import EventBusRabbit
import EventBusRedis
import Glibc
import SoakAudit
import Synchronization

extension Worker {
    /// Consumes the events of the topic that the worker is named after, until the process is asked to end.
    func consume() async throws {
        guard let topic = SoakTopic.allCases.first(where: { $0.group == role }) else {
            throw SoakProblem("there is no worker \(name)")
        }
        var configuration = EventBusConfiguration()
        configuration.shutdownTimeout = .seconds(15)
        let bus = EventBus(transport: try transport(), configuration: configuration, logger: logger)
        var options = SubscriptionOptions(
            retry: RetryPolicy(maximumAttempts: 4, initial: .milliseconds(150), maximum: .seconds(1))
        )
        options.observers = [SettlementRecorder(ledger: ledger)]
        var redis: RedisClient?
        switch topic {
        case .plain:
            subscribe(PlainEvent.self, options: options, on: bus)
        case .keyed:
            if settings.plantedBug != .ignoreKeys { options.ordering = .byPartitionKey }
            subscribe(KeyedEvent.self, options: options, on: bus)
        case .inbox:
            let client = try self.redis()
            redis = client
            if settings.plantedBug == .countOutageAsAttempt {
                options.middleware.append(CountedOutages(inbox: RedisInbox(client)))
            } else {
                let inbox = RedisInbox(client)
                options.inbox = settings.plantedBug == .forgetRecords ? ForgetfulInbox(inbox: inbox) : inbox
            }
            subscribe(InboxEvent.self, options: options, on: bus)
        }
        try await bus.withRunning { try await Self.waitForStop() }
        await redis?.close()
    }

    private func subscribe<E: SoakEvent>(_ type: E.Type, options: SubscriptionOptions, on bus: EventBus) {
        let serials = Serials()
        bus.subscribe(to: type, group: E.soakTopic.group, options: options) { event, context in
            switch (settings.plantedBug, E.soakTopic) {
            case (.acknowledgeBeforeHandling, .plain):
                Task {
                    try await Task.sleep(for: .milliseconds(50))
                    try await handle(event, context, serials)
                }
            case (.endBeforeHandlers, .plain) where Self.mustStop:
                return
            case (.handleTwice, .plain) where event.number.hash % 100 == 77:
                try await handle(event, context, serials)
                try await handle(event, context, serials)
            default:
                try await handle(event, context, serials)
            }
        }
    }

    private func handle<E: SoakEvent>(_ event: E, _ context: EventContext, _ serials: Serials) async throws {
        let number = event.number
        let serial = serials.next()
        ledger.record(
            .delivered,
            number: number.rawValue,
            extra: serial,
            code: UInt8(clamping: context.attempt)
        )
        guard event.payload.isIntact, number.id == context.id.rawValue else {
            ledger.record(.corrupt, number: number.rawValue, extra: serial)
            return
        }
        do {
            try await Task.sleep(for: .microseconds(Int(number.hash >> 20 % 5_000)))
            switch number.behavior {
            case .succeeds: break
            case .failsOnce: if context.attempt == 1 { throw Mishap() }
            case .alwaysFails: throw Mishap()
            }
            ledger.record(.effect, number: number.rawValue, extra: serial)
        } catch {
            ledger.record(.failed, number: number.rawValue, extra: serial)
            throw error
        }
    }
}

/// The failure of a handler on purpose.
private struct Mishap: Error {}

/// The serial numbers of the calls of a process's handlers.
private final class Serials: Sendable {
    private let last = Atomic<UInt64>(0)

    func next() -> UInt64 { last.wrappingAdd(1, ordering: .relaxed).newValue }
}

/// Records the outcomes of deliveries.
private struct SettlementRecorder: DeliveryObserver {
    let ledger: LedgerWriter

    func didSettle(_ delivery: SettledDelivery) {
        guard !delivery.isHeld, let number = EventNumber(id: delivery.envelope.id.rawValue) else { return }
        if case .acknowledged = delivery.disposition {
            ledger.record(.acknowledged, number: number.rawValue)
        } else {
            ledger.record(.settled, number: number.rawValue)
        }
    }
}

/// A planted bug: an inbox whose outages are failures of the handler.
private struct CountedOutages: ConsumeMiddleware {
    struct InboxFailed: Error {}

    let inbox: RedisInbox

    func consume(_ context: EventContext, next: ConsumeNext) async throws {
        do {
            switch try await inbox.begin(context.inboxKey, lease: .seconds(1)) {
            case .new(let claim):
                do {
                    try await next(context)
                } catch {
                    try await inbox.abandon(claim)
                    throw error
                }
                try await inbox.complete(claim, retention: .seconds(3600))
            case .inProgress: throw InboxFailed()
            case .completed, .completedWithOtherPayload: break
            }
        } catch let error as EventBusError where error.code.isOutage {
            throw InboxFailed()
        }
    }
}

/// A planted bug: an inbox that does not record what was handled.
private struct ForgetfulInbox: Inbox {
    let inbox: RedisInbox

    func begin(_ key: InboxKey, lease: Duration) async throws -> InboxDecision {
        try await inbox.begin(key, lease: lease)
    }

    func renew(_ claim: InboxClaim, lease: Duration) async throws { try await inbox.renew(claim, lease: lease) }

    func complete(_ claim: InboxClaim, retention: Duration) async throws { try await inbox.abandon(claim) }

    func abandon(_ claim: InboxClaim) async throws { try await inbox.abandon(claim) }
}
