/// The publish middleware, folded once, with the transport at its end.
struct PublishChain: Sendable {
    private let transport: any Transport
    private let middleware: [any PublishMiddleware]
    private let single: @Sendable (OutgoingEvent) async throws -> PublishReceipt

    init(transport: any Transport, middleware: [any PublishMiddleware]) {
        let active = middleware.filter(\.isActive)
        self.transport = transport
        self.middleware = active
        self.single = Self.fold(active) { event in try await Self.send(event, on: transport) }
    }

    private static func fold(
        _ middleware: [any PublishMiddleware],
        _ last: @escaping @Sendable (OutgoingEvent) async throws -> PublishReceipt
    ) -> @Sendable (OutgoingEvent) async throws -> PublishReceipt {
        var chain = last
        for step in middleware.reversed() {
            let next = PublishNext(chain)
            chain = { event in try await step.publish(event, next: next) }
        }
        return chain
    }

    /// Sends one event.
    func publish(_ event: OutgoingEvent) async throws -> PublishReceipt {
        if middleware.isEmpty { return try await Self.send(event, on: transport) }
        return try await single(event)
    }

    private static func send(_ event: OutgoingEvent, on transport: any Transport) async throws -> PublishReceipt {
        try event.envelope.validate()
        let outcome = try await transport.publish(event.envelope, options: event.transportOptions)
        return PublishReceipt(id: event.envelope.id, outcome: outcome)
    }

    /// Sends many events with one call to the transport, in order, with one result for each.
    ///
    /// Each event passes through the middleware up to the end of the chain and waits there until all have come; what a
    /// step refused is left out.
    func publish(contentsOf events: [OutgoingEvent]) async -> [Result<PublishReceipt, any Error>] {
        guard !middleware.isEmpty else { return await send(events) }
        let gate = BatchGate(count: events.count)
        return await withTaskGroup(of: (Int, Result<PublishReceipt, any Error>).self) { group in
            for (index, event) in events.enumerated() {
                let chain = Self.fold(middleware) { event in try await gate.arrive(index, event) }
                group.addTask {
                    do {
                        let receipt = try await chain(event)
                        gate.leave(index)
                        return (index, .success(receipt))
                    } catch {
                        gate.leave(index)
                        return (index, .failure(error))
                    }
                }
            }
            let arrived = await gate.allArrived()
            let results = await send(arrived.map(\.event))
            for (arrival, result) in zip(arrived, results) { arrival.continuation.resume(with: result) }
            var ordered = [Result<PublishReceipt, any Error>?](repeating: nil, count: events.count)
            for await (index, result) in group { ordered[index] = result }
            return ordered.compactMap(\.self)
        }
    }

    /// Sends events past the middleware. Those of one call share delay and deadline.
    private func send(_ events: [OutgoingEvent]) async -> [Result<PublishReceipt, any Error>] {
        var results = [Result<PublishReceipt, any Error>?](repeating: nil, count: events.count)
        var valid: [Int] = []
        for (index, event) in events.enumerated() {
            do {
                try event.envelope.validate()
                valid.append(index)
            } catch {
                results[index] = .failure(error)
            }
        }
        if let options = events.first?.transportOptions {
            let outcomes = await transport.publish(contentsOf: valid.map { events[$0].envelope }, options: options)
            for (index, outcome) in zip(valid, outcomes) {
                results[index] = outcome.map { PublishReceipt(id: events[index].envelope.id, outcome: $0) }
            }
        }
        return results.compactMap(\.self)
    }
}

extension OutgoingEvent {
    fileprivate var transportOptions: TransportPublishOptions {
        TransportPublishOptions(deadline: deadline, delay: delay)
    }
}

/// Where the events of a batch wait at the end of their chains until all of them have come or dropped out.
private final class BatchGate: Sendable {
    struct Arrival: Sendable {
        var event: OutgoingEvent
        var continuation: CheckedContinuation<PublishReceipt, any Error>
    }

    private struct State {
        var arrivals: [Int: Arrival] = [:]
        var accounted: Set<Int> = []
    }

    private let count: Int
    private let state = Locked(State())
    private let complete = Signal()

    init(count: Int) {
        self.count = count
        if count == 0 { complete.raise() }
    }

    /// Waits at the end of the chain for the batch to be sent.
    func arrive(_ index: Int, _ event: OutgoingEvent) async throws -> PublishReceipt {
        try await withCheckedThrowingContinuation { continuation in
            let (isTwice, isComplete) = state.withLock { state in
                guard state.accounted.insert(index).inserted else { return (true, false) }
                state.arrivals[index] = Arrival(event: event, continuation: continuation)
                return (false, state.accounted.count == count)
            }
            if isTwice {
                continuation.resume(
                    throwing: EventBusError(.unsupported, "a publish middleware called next twice within a batch")
                )
            }
            if isComplete { complete.raise() }
        }
    }

    /// Notes that the chain of an event has ended, whether or not it came to its end.
    func leave(_ index: Int) {
        let isComplete = state.withLock { $0.accounted.insert(index).inserted && $0.accounted.count == count }
        if isComplete { complete.raise() }
    }

    /// What has arrived, in the order of the batch, once everything is accounted for.
    func allArrived() async -> [Arrival] {
        // In a task of its own, which nothing cancels: every continuation that waits here has to be resumed.
        let complete = complete
        try? await Task { try await complete.wait() }.value
        return state.withLock { state in
            state.arrivals.sorted { $0.key < $1.key }.map(\.value)
        }
    }
}
