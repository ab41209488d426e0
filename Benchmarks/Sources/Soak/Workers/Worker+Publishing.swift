import EventBus
import EventBusRabbit
import Logging
import SoakAudit
import Synchronization

extension Worker {
    /// Publishes events of all topics, in several streams, until the process is asked to end.
    func publish() async throws {
        var configuration = EventBusConfiguration()
        configuration.publishTimeout = .seconds(WorkerSettings.publishTimeout)
        let transport = try transport()
        let bus = EventBus(transport: transport, configuration: configuration, logger: logger)
        // Streams continue where the process before this one ended.
        var last: [UInt64: UInt64] = [:]
        for record in Ledger(worker: name, file: settings.ledgerFile(of: name)).records where record.kind == .attempted
        {
            let number = EventNumber(rawValue: record.number)
            last[number.stream] = max(last[number.stream] ?? 0, number.sequence)
        }
        let lastNumbers = last
        try await bus.withRunning {
            await withTaskGroup(of: Void.self) { group in
                for task in 0..<8 {
                    group.addTask { await stream(PlainEvent.self, task: task, on: bus, after: lastNumbers) }
                    group.addTask { await stream(KeyedEvent.self, task: task, on: bus, after: lastNumbers) }
                }
                for task in 0..<4 {
                    group.addTask { await stream(InboxEvent.self, task: task, on: bus, after: lastNumbers) }
                }
            }
        }
    }

    private func stream<E: SoakEvent>(
        _ type: E.Type,
        task: Int,
        on bus: EventBus,
        after last: [UInt64: UInt64]
    ) async {
        let first = EventNumber(E.soakTopic, publisher: number, task: task, sequence: 1)
        var sequence = last[first.stream] ?? 0
        let interval = Duration.seconds(1) * 20 / settings.rate
        var next = ContinuousClock.now
        while !Self.mustStop {
            sequence += 1
            await publish(
                E(payload: SoakPayload(EventNumber(E.soakTopic, publisher: number, task: task, sequence: sequence))),
                on: bus
            )
            // A stream that was held up does not catch up.
            next = max(next + interval, .now)
            try? await Task.sleep(until: next, clock: .continuous)
        }
    }

    /// Publishes an event until its outcome is known. Events with a key have one attempt, because a later copy of an
    /// event would be out of order.
    private func publish<E: SoakEvent>(_ event: E, on bus: EventBus) async {
        var options = PublishOptions(id: EventID(event.number.id))
        if E.soakTopic == .plain, event.number.hash >> 32 % 50 == 0 {
            options.delay = .milliseconds(Int(event.number.hash >> 40 % 5_000))
        }
        for attempt in 1...100 {
            ledger.record(.attempted, number: event.number.rawValue, code: UInt8(attempt))
            do {
                let receipt = try await send(event, options: options, on: bus)
                ledger.record(receipt.outcome == .unroutable ? .unroutable : .confirmed, number: event.number.rawValue)
                return
            } catch {
                let code = (error as? EventBusError)?.code
                let isUnknown = code == .indeterminate || code == .rejected
                ledger.record(isUnknown ? .unknown : .refused, number: event.number.rawValue)
                logger.notice("\(event.number.id) was not published: \(error)")
                guard isUnknown, E.soakTopic != .keyed, !Self.mustStop else { return }
                try? await Task.sleep(for: .milliseconds(100))
            }
        }
    }

    private func send<E: SoakEvent>(_ event: E, options: PublishOptions, on bus: EventBus) async throws
        -> PublishReceipt
    {
        guard settings.plantedBug == .dropUnconfirmed, E.soakTopic == .plain else {
            return try await bus.publish(event, options: options)
        }
        // A publish that takes longer than usual is given up, as if its connection had been lost.
        let publishing = Task { try await bus.publish(event, options: options) }
        Task {
            try await Task.sleep(for: .milliseconds(100))
            publishing.cancel()
        }
        return PublishReceipt(id: EventID(event.number.id), outcome: .routed)
    }
}
