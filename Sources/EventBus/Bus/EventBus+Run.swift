internal import ServiceLifecycle

extension EventBus {
    /// Connects, delivers, and returns when the bus has been shut down.
    ///
    /// A graceful shutdown (of the surrounding `ServiceGroup`, or by ``shutdown()``) stops taking publishes from outside
    /// handlers, stops deliveries, hands unstarted ones back to the broker, waits for running handlers and for
    /// unconfirmed publishes until ``EventBusConfiguration/shutdownTimeout``, and closes. Cancelling the task does the
    /// same without waiting: running handlers are cancelled and their deliveries go back to the broker.
    ///
    /// - Throws: ``EventBusError``: `.alreadyRunning` on a second call; the error of a subscription that can never work;
    ///   what the transport cannot mend by trying again, such as `.authenticationFailed`; `.shutdownTimedOut` if
    ///   handlers did not end in time, after everything else was closed.
    public func run() async throws {
        let subscriptions = try begin()
        // In a task of its own: cancellation is to lead to an orderly end, not to fall on every part at once.
        let work = Task { try await self.work(on: subscriptions) }
        try await withTaskCancellationHandler {
            try await withGracefulShutdownHandler {
                try await work.value
            } onGracefulShutdown: {
                self.shutdown()
            }
        } onCancel: {
            abort()
        }
    }

    /// Asks the bus to shut down gracefully; ``run()`` returns when it has.
    public func shutdown() {
        switch lifecycle.withLock({ $0.beginShutdown() }) {
        case .none:
            return
        case .closed:
            stopping.raise()
            end()
        case .drain:
            started.raise()
            stopping.raise()
        }
    }

    /// Runs the bus while `body` runs: for tests and scripts.
    ///
    /// Starts the bus, waits until every subscription is attached, runs `body`, and shuts down gracefully. A bus that
    /// fails to start does not run `body`.
    ///
    /// - Returns: What `body` returns.
    /// - Throws: What `body` or ``run()`` throws, whichever was first.
    public func withRunning<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask {
                try await self.run()
                return nil
            }
            group.addTask {
                try await self.started.wait()
                // A bus that could not start says why by the error of its run.
                guard self.lifecycle.withLock({ $0.hasRun }) else { return nil }
                return try await body()
            }
            do {
                // A bus that ends before the body was shut down by it, or throws here what ended it.
                var result = try await group.next() ?? nil
                if result == nil { result = try await group.next() ?? nil }
                shutdown()
                try await group.waitForAll()
                guard let result else { throw CancellationError() }
                return result
            } catch {
                shutdown()
                group.cancelAll()
                // The first error is what the caller needs to know.
                while let outcome = await group.nextResult() { _ = outcome }
                throw error
            }
        }
    }

    private func begin() throws -> AsyncStream<SubscriptionRunner> {
        guard lifecycle.withLock({ $0.start() }) else {
            throw EventBusError(.alreadyRunning, "a bus runs once: make a new one")
        }
        do {
            return try registry.open()
        } catch {
            end()
            throw error
        }
    }

    /// Closes the bus: no one waits for it any more, and it lets go of its handlers, which often hold the bus.
    private func end() {
        lifecycle.withLock { $0.close() }
        started.raise()
        registry.close()
        registry.removeEnded()
    }

    private func abort() {
        shutdown()
        aborting.raise()
        for runner in registry.runners { runner.abort() }
    }

    /// The whole of a running bus: the transport, the watchdog, the subscriptions, and their orderly end.
    private func work(on subscriptions: AsyncStream<SubscriptionRunner>) async throws {
        defer { end() }
        try await withThrowingTaskGroup(of: Part.self) { group in
            group.addTask { [transport] in
                try await transport.run()
                return .transport
            }
            group.addTask { [watchdog] in
                await watchdog.run()
                return .watchdog
            }
            group.addTask { [stopping] in
                try? await stopping.wait()
                return .stop
            }
            group.addTask { [initial = registry.runners] in
                for runner in initial {
                    do {
                        try await runner.waitUntilAttached()
                    } catch let error as EventBusError where error.code == .shuttingDown {
                        // Cancelled before it began: the others count.
                    }
                }
                return .start
            }
            group.addTask { [registry, stopping] in
                await withDiscardingTaskGroup { runners in
                    for await runner in subscriptions {
                        runners.addTask {
                            await runner.run()
                            if runner.isDone, !stopping.isRaised { registry.remove(runner) }
                        }
                    }
                }
                return .subscriptions
            }
            defer { group.cancelAll() }
            var deadline: AnyClock.Instant?
            while let part = try await group.next() {
                switch part {
                case .start:
                    lifecycle.withLock { $0.ready() }
                    started.raise()
                case .stop:
                    deadline = clock.now.advanced(by: configuration.shutdownTimeout)
                    registry.close()
                    // One that was added while the others were told has not heard of it.
                    if aborting.isRaised { for runner in registry.runners { runner.abort() } }
                case .subscriptions:
                    try? await flushPublishes(until: deadline ?? clock.now)
                    group.cancelAll()
                case .transport, .watchdog:
                    // Only a cancellation ends these; a transport that ends by itself would leave a dead bus running.
                    if !stopping.isRaised {
                        throw EventBusError(.unavailable, "the transport \(transport.name) stopped by itself")
                    }
                }
            }
        }
        let abandoned = registry.runners.filter { $0.abandoned > 0 }
        if !abandoned.isEmpty {
            let names = abandoned.map { "\($0.info.queueName) (\($0.abandoned))" }.joined(separator: ", ")
            throw EventBusError(
                .shutdownTimedOut,
                "handlers did not end in time, nor when they were cancelled; their events come again: \(names)"
            )
        }
    }

    /// Waits until no publish is under way, or for the shutdown's deadline: what the handlers took is not given again.
    private func flushPublishes(until deadline: AnyClock.Instant) async throws {
        guard lifecycle.withLock({ $0.beginFlush() }), !aborting.isRaised else { return }
        let publishesDone = publishesDone
        _ = try await withDeadline(deadline, clock: clock) { try await publishesDone.wait() }
    }

    private enum Part {
        case start
        case transport
        case watchdog
        case stop
        case subscriptions
    }
}
