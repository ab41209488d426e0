/// The publish middleware, folded once, followed by the transport.
struct PublishChain: Sendable {
    private let transport: any Transport
    /// The steps of an event that is published alone.
    private let middleware: [any PublishMiddleware]
    /// The steps without that of the claim check, which is taken for the events of a batch together.
    private let ordinary: [any PublishMiddleware]
    /// The last step before the transport, if large bodies go through a store.
    private let claiming: ClaimCheckMiddleware?
    private let single: @Sendable (OutgoingEvent) async throws -> PublishReceipt
    /// A Boolean value indicating whether the middleware may wait for longer than the deadline.
    private let mayWait: Bool

    /// The time after the deadline for which the transport may still tell its outcome.
    static let grace = Duration.seconds(1)

    static var tooLate: EventBusError {
        EventBusError(.timedOut, "publish middleware did not let the event through before the deadline")
    }

    init(
        transport: any Transport,
        middleware: [any PublishMiddleware],
        claiming: ClaimCheckMiddleware? = nil
    ) {
        var active = middleware.filter(\.isActive)
        self.ordinary = active
        self.claiming = claiming
        if let claiming { active.append(claiming) }
        self.transport = transport
        self.middleware = active
        self.mayWait = active.contains { !($0 is any PromptMiddleware) }
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
        guard mayWait else { return try await single(event) }
        let publish = BoundedPublish<PublishReceipt>()
        let chain = Self.fold(middleware) { [transport] event in
            try await publish.send { try await Self.send(event, on: transport) }
        }
        return try await publish.run(until: event.deadline, clock: transport.clock) { try await chain(event) }
    }

    private static func send(_ event: OutgoingEvent, on transport: any Transport) async throws -> PublishReceipt {
        try event.envelope.validate()
        let outcome = try await transport.publish(event.envelope, options: event.transportOptions)
        return PublishReceipt(id: event.envelope.id, outcome: outcome)
    }

    /// Sends a request, and waits for its reply.
    func request(_ event: OutgoingEvent) async throws -> Envelope {
        let transport = transport
        if middleware.isEmpty { return try await transport.request(event.envelope, deadline: event.deadline) }
        let reply = Locked<Envelope?>(nil)
        let publish = BoundedPublish<Envelope>()
        let chain = Self.fold(middleware) { event in
            let received = try await publish.send {
                try event.envelope.validate()
                return try await transport.request(event.envelope, deadline: event.deadline)
            }
            reply.withLock { $0 = received }
            return PublishReceipt(id: event.envelope.id, outcome: .routed)
        }
        return try await publish.run(until: event.deadline, clock: transport.clock) {
            _ = try await chain(event)
            guard let reply = reply.withLock({ $0 }) else {
                throw EventBusError(
                    .unsupported,
                    "a publish middleware gave a receipt for a request that it did not send"
                )
            }
            return reply
        }
    }

    /// Sends many events with one call of the transport, in order, with one result for each.
    ///
    /// The events pass through the middleware in order. Each waits at the end of its chain until all have arrived.
    /// Events that a step refused are left out. An event that has not arrived by the deadline is not sent, because
    /// middleware may be waiting for an event that itself waits at the end of the chain. Large bodies are stored after
    /// that, and an event whose body could not be stored is left out too.
    func publish(
        contentsOf envelopes: [Envelope],
        options: TransportPublishOptions
    ) async -> [Result<PublishReceipt, any Error>] {
        if middleware.isEmpty {
            return await send(envelopes, options)
        }
        let name = transport.name
        let events = envelopes.map { OutgoingEvent(envelope: $0, options: options, transportName: name) }
        if ordinary.isEmpty { return await claimAndSend(events) }
        let (gate, chains) = (BatchGate(), BatchChains())
        let timer = Task { [clock = transport.clock] in
            try await clock.sleep(until: options.deadline)
            gate.close()
            try await clock.sleep(until: options.deadline.advanced(by: Self.grace))
            chains.expire()
        }
        defer {
            timer.cancel()
            // Nobody waits for the steps that are left.
            chains.cancel()
        }
        return await withTaskCancellationHandler {
            for (index, event) in events.enumerated() {
                let chain = Self.fold(ordinary) { event in try await gate.arrive(index, event) }
                chains.start(index, { try await chain(event) }, onEnd: { gate.leave(index) })
                guard await gate.hasPassed(index) else { break }
            }
            let arrived = gate.takeArrivals()
            let results = await claimAndSend(arrived.map(\.event))
            var sent: [Int: Result<PublishReceipt, any Error>] = [:]
            for (arrival, result) in zip(arrived, results) {
                sent[arrival.index] = result
                arrival.continuation.resume(with: result)
            }
            await chains.end(of: Set(sent.keys))
            let ended = chains.results
            return events.indices.map { ended[$0] ?? sent[$0] ?? .failure(Self.tooLate) }
        } onCancel: {
            chains.cancel()
        }
    }

    /// Stores the large bodies of events, and sends the events whose bodies are stored.
    private func claimAndSend(_ events: [OutgoingEvent]) async -> [Result<PublishReceipt, any Error>] {
        guard let claiming else { return await send(events) }
        var events = events
        let failures = await claiming.claim(&events)
        if failures.isEmpty { return await send(events) }
        let stored = events.indices.filter { failures[$0] == nil }
        var sent = await send(stored.map { events[$0] })
        sent.reverse()
        return events.indices.map { index in
            failures[index].map { .failure($0) } ?? sent.popLast() ?? .failure(Self.tooLate)
        }
    }

    /// Returns a Boolean value indicating whether an event's body is sent through the store of the claim check.
    func stores(_ envelope: Envelope) -> Bool { claiming?.claimCheck.stores(envelope) ?? false }

    /// Sends events after the middleware. The events of one call share a deadline, but middleware may have set
    /// other options.
    private func send(_ events: [OutgoingEvent]) async -> [Result<PublishReceipt, any Error>] {
        var results: [Result<PublishReceipt, any Error>] = []
        var rest = events[...]
        while let first = rest.first {
            let options = first.transportOptions
            let run = rest.prefix { $0.transportOptions == options }
            results += await send(run.map(\.envelope), options)
            rest = rest.dropFirst(run.count)
        }
        return results
    }

    private func send(
        _ envelopes: [Envelope],
        _ options: TransportPublishOptions
    ) async -> [Result<PublishReceipt, any Error>] {
        var problems: [Int: any Error] = [:]
        for (index, envelope) in envelopes.enumerated() {
            do {
                try envelope.validate()
            } catch {
                problems[index] = error
            }
        }
        let valid =
            problems.isEmpty
            ? envelopes : envelopes.indices.filter { problems[$0] == nil }.map { envelopes[$0] }
        var outcomes = valid.isEmpty ? [] : await transport.publish(contentsOf: valid, options: options)
        outcomes.reverse()
        return envelopes.enumerated().map { index, envelope in
            if let problem = problems[index] { return .failure(problem) }
            if let outcome = outcomes.popLast() { return outcome.map { PublishReceipt(id: envelope.id, outcome: $0) } }
            // The event may have been sent.
            return .failure(
                EventBusError(
                    .indeterminate,
                    "transport \(transport.name) gave no outcome for event \(envelope.id)"
                )
            )
        }
    }
}

extension OutgoingEvent {
    fileprivate var transportOptions: TransportPublishOptions {
        TransportPublishOptions(deadline: deadline, delay: delay, expiration: expiration, priority: priority)
    }
}

/// The gate at which the events of a batch wait at the end of their chains, until all have arrived or dropped out.
private final class BatchGate: Sendable {
    struct Arrival: Sendable {
        var index: Int
        var event: OutgoingEvent
        var continuation: CheckedContinuation<PublishReceipt, any Error>
    }

    private struct State {
        var arrivals: [Int: Arrival] = [:]
        var accounted: Set<Int> = []
        var isClosed = false
        /// The task that waits for an event to arrive or drop out.
        var waiter: (index: Int, continuation: CheckedContinuation<Bool, Never>)?

        /// Removes and returns the waiter if its event has arrived or dropped out.
        mutating func takeWaiter() -> CheckedContinuation<Bool, Never>? {
            guard let waiter, isClosed || accounted.contains(waiter.index) else { return nil }
            self.waiter = nil
            return waiter.continuation
        }
    }

    private let state = Locked(State())

    /// Waits at the end of the chain for the batch to be sent.
    func arrive(_ index: Int, _ event: OutgoingEvent) async throws -> PublishReceipt {
        try await withCheckedThrowingContinuation { continuation in
            let (refusal, waiter) = state.withLock { state -> (EventBusError?, CheckedContinuation<Bool, Never>?) in
                guard state.accounted.insert(index).inserted else {
                    return (EventBusError(.unsupported, "a publish middleware called next twice within a batch"), nil)
                }
                if state.isClosed { return (PublishChain.tooLate, nil) }
                state.arrivals[index] = Arrival(index: index, event: event, continuation: continuation)
                return (nil, state.takeWaiter())
            }
            if let refusal { continuation.resume(throwing: refusal) }
            waiter?.resume(returning: true)
        }
    }

    /// Records that the chain of an event has ended, whether or not the event arrived.
    func leave(_ index: Int) {
        let waiter = state.withLock { state in
            state.accounted.insert(index)
            return state.takeWaiter()
        }
        waiter?.resume(returning: true)
    }

    /// Lets no more events arrive, because the deadline has passed.
    func close() {
        let waiter = state.withLock { state in
            state.isClosed = true
            return state.takeWaiter()
        }
        waiter?.resume(returning: false)
    }

    /// Waits until the event has arrived or dropped out. Returns `false` if the gate was closed first. A cancellation
    /// does not interrupt the wait, but it reaches the middleware.
    func hasPassed(_ index: Int) async -> Bool {
        await withCheckedContinuation { continuation in
            let passed: Bool? = state.withLock { state in
                if state.accounted.contains(index) { return true }
                if state.isClosed { return false }
                state.waiter = (index, continuation)
                return nil
            }
            if let passed { continuation.resume(returning: passed) }
        }
    }

    /// Returns the arrived events in the order of the batch. No event can arrive afterwards.
    func takeArrivals() -> [Arrival] {
        state.withLock { state in
            state.isClosed = true
            defer { state.arrivals = [:] }
            return state.arrivals.sorted { $0.key < $1.key }.map(\.value)
        }
    }
}
