import EventBus

extension InMemoryBroker {
    /// Publishes an event. If a queue is full, it waits for room until the deadline.
    func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome {
        if Task.isCancelled { throw CancellationError() }
        try check(envelope, options)
        if options.delay > .zero {
            let due = clock.now.advanced(by: options.delay)
            let fault: EventBusError? = step { state, effects in
                let fault = state.strikePublish(of: envelope)
                if fault?.isKept != false { state.schedule(envelope, due: due, &effects) }
                return fault?.error
            }
            if let fault { throw fault }
            return .scheduled
        }
        let attempt = step { state, effects in
            tryPublish(envelope, extras: extras(options), deadline: options.deadline, &state, &effects)
        }
        return try await outcome(of: attempt)
    }

    /// Publishes events in order, many of them under one lock.
    func publish(
        contentsOf envelopes: [Envelope],
        options: TransportPublishOptions
    ) async -> [Result<PublishOutcome, any Error>] {
        var results: [Result<PublishOutcome, any Error>] = []
        results.reserveCapacity(envelopes.count)
        while results.count < envelopes.count {
            let start = results.count
            // Few enough that other tasks get the lock in between.
            let end = min(start + 64, envelopes.count)
            let isOrdinary = envelopes[start..<end].allSatisfy { (try? check($0, options)) != nil }
            if Task.isCancelled || options.delay > .zero || end - start == 1 || !isOrdinary {
                for envelope in envelopes[start..<end] {
                    do {
                        results.append(.success(try await publish(envelope, options: options)))
                    } catch {
                        results.append(.failure(error))
                    }
                }
                continue
            }
            let (outcomes, blocked) = step { state, effects in
                publish(envelopes[start..<end], options, &state, &effects)
            }
            results += outcomes
            if let blocked {
                do {
                    results.append(.success(try await wait(for: blocked)))
                } catch {
                    results.append(.failure(error))
                }
            }
        }
        return results
    }

    /// Sends a request and waits for its reply.
    func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope {
        if Task.isCancelled { throw CancellationError() }
        try check(envelope, TransportPublishOptions(deadline: deadline))
        let waiter = OneShot<RequestAnswer>()
        // In one step. A request that was pending before its event is queued would look as if only time could end it,
        // and `settled()` would advance a manual clock to its deadline.
        let (number, attempt) = step { state, effects in
            let number = state.makeNumber()
            state.pendingRequests[number] = PendingRequest(topic: envelope.topic, deadline: deadline, waiter: waiter)
            let address = ReplyAddress(address: "in-memory", requestID: String(number))
            let attempt = tryPublish(
                envelope,
                extras: EventMetadata(replyAddress: address),
                deadline: deadline,
                &state,
                &effects
            )
            switch attempt {
            case .done(.routed), .blocked: break
            case .done, .failed: state.requestIsReturning(number)
            }
            return (number, attempt)
        }
        // A step, because callers of `settled()` wait for it.
        defer { step { state, _ in _ = state.pendingRequests.removeValue(forKey: number) } }
        let outcome = try await outcome(of: attempt)
        if outcome == .unroutable {
            throw EventBusError(
                .unroutable,
                "no subscription responds to \(envelope.topic.rawValue.quotedForError); "
                    + "attach a responder before requests are sent"
            )
        }
        let answer = await waiter.wait(
            until: deadline,
            on: clock,
            atDeadline: { waiter.resolve(.deadlinePassed) },
            onCancel: {
                self.step { state, effects in
                    state.requestIsReturning(number)
                    effects.answer(.request(waiter, .cancelled))
                }
            }
        )
        switch answer {
        case .reply(let reply):
            return reply
        case .deadlinePassed:
            throw EventBusError(
                .timedOut,
                "no reply to \(envelope.topic.rawValue.quotedForError) came before the deadline"
            )
        case .cancelled:
            throw CancellationError()
        }
    }

    /// Passes a reply to the waiting caller. A late reply is dropped.
    func reply(_ envelope: Envelope, to address: ReplyAddress) throws {
        try check(envelope, TransportPublishOptions(deadline: clock.now))
        guard let number = UInt64(address.requestID) else { return }
        step { state, effects in
            guard let request = state.pendingRequests[number] else { return }
            state.requestIsReturning(number)
            effects.answer(.request(request.waiter, .reply(envelope)))
        }
    }

    /// Returns the properties of an event that few events have, or `nil`.
    private func extras(_ options: TransportPublishOptions) -> EventMetadata? {
        options.expiration.map { EventMetadata(expires: clock.now.advanced(by: max(.zero, $0).clampedToLongest)) }
    }

    private enum Attempt: Sendable {
        case done(PublishOutcome)
        case failed(EventBusError)
        case blocked(Blocked)
    }

    /// A publish that has to wait for room.
    private struct Blocked: Sendable {
        var number: UInt64
        var waiter: OneShot<PublishAnswer>
        var deadline: AnyClock.Instant
        /// A Boolean value indicating whether nobody checks for overdue publishes at the deadline yet.
        var needsLook: Bool
    }

    private func tryPublish(
        _ envelope: Envelope,
        extras: EventMetadata?,
        deadline: AnyClock.Instant,
        _ state: inout BrokerState,
        _ effects: inout Effects
    ) -> Attempt {
        let fault = state.strikePublish(of: envelope)
        if let fault, !fault.isKept { return .failed(fault.error) }
        switch state.publish(envelope, extras: extras, now: { clock.now }, &effects) {
        case _ where fault != nil:
            // The event is kept if there is room for it, but it gets no confirm.
            return .failed(fault?.error ?? EventBusError(.indeterminate, ""))
        case .done(let outcome):
            return .done(outcome)
        case .refused(let queue):
            return .failed(
                EventBusError(
                    .rejected,
                    "queue \(state.queues[queue].name.quotedForError) is full and refused the event; other queues may "
                        + "hold it: publish it again later, with the same id"
                )
            )
        case .full(let queue):
            let waiter = OneShot<PublishAnswer>()
            let number = state.block(
                envelope,
                extras: extras,
                on: queue,
                until: deadline,
                waiter: waiter
            )
            let needsLook = state.expectOverdue(at: deadline)
            return .blocked(Blocked(number: number, waiter: waiter, deadline: deadline, needsLook: needsLook))
        }
    }

    private func publish(
        _ envelopes: ArraySlice<Envelope>,
        _ options: TransportPublishOptions,
        _ state: inout BrokerState,
        _ effects: inout Effects
    ) -> ([Result<PublishOutcome, any Error>], Blocked?) {
        var outcomes: [Result<PublishOutcome, any Error>] = []
        outcomes.reserveCapacity(envelopes.count)
        let extras = extras(options)
        for envelope in envelopes {
            switch tryPublish(envelope, extras: extras, deadline: options.deadline, &state, &effects) {
            case .done(let outcome): outcomes.append(.success(outcome))
            case .failed(let error): outcomes.append(.failure(error))
            case .blocked(let blocked): return (outcomes, blocked)
            }
        }
        return (outcomes, nil)
    }

    /// Checks for overdue publishes at `deadline`, and for as long as any are waiting. All of them share one timer,
    /// because setting and cancelling one for each would cost more than the publish.
    private func lookForOverdue(from deadline: AnyClock.Instant) {
        Task { [weak self, clock] in
            var next: AnyClock.Instant? = deadline
            while let look = next {
                try? await clock.sleep(until: look)
                next = self?.step { state, effects in state.unblockOverdue(at: look, now: clock.now, &effects) }
            }
        }
    }

    /// Returns the outcome of an attempt, as soon as there is room for its event.
    private func outcome(of attempt: Attempt) async throws -> PublishOutcome {
        switch attempt {
        case .done(let outcome): return outcome
        case .failed(let error): throw error
        case .blocked(let blocked): return try await wait(for: blocked)
        }
    }

    private func wait(for blocked: Blocked) async throws -> PublishOutcome {
        if blocked.needsLook { lookForOverdue(from: blocked.deadline) }
        // Only the caller that removes the publish from the state answers it, so it is either sent or given up, never
        // both.
        let answer = await blocked.waiter.wait(
            onCancel: { self.step { state, effects in state.unblock(blocked.number, cancelled: true, &effects) } }
        )
        switch answer {
        case .outcome(let outcome):
            return outcome
        case .cancelled:
            throw CancellationError()
        case .deadlinePassed(let queue):
            throw EventBusError(
                .blocked,
                "queue \(queue.quotedForError) was full until the deadline; "
                    + "add consumers, or raise the broker's maximumQueueLength"
            )
        }
    }
}

extension OneShot {
    /// Waits for the value. `atDeadline` and `onCancel` must ensure that one is provided.
    func wait(
        until deadline: AnyClock.Instant,
        on clock: AnyClock,
        atDeadline: @escaping @Sendable () -> Void,
        onCancel: @escaping @Sendable () -> Void
    ) async -> Value {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                do {
                    try await clock.sleep(until: deadline)
                    atDeadline()
                } catch {
                    // Cancelled because the value arrived, or together with the caller, in which case `onCancel`
                    // provides the value.
                }
            }
            let value = await self.wait(onCancel: onCancel)
            group.cancelAll()
            return value
        }
    }
}
