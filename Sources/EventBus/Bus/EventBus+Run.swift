internal import Logging
internal import ServiceLifecycle

extension EventBus {
    /// The real time for which publishes wait for the other subscriptions after one is attached.
    private static let startingPatience: Duration = .seconds(1)
    /// The real time for which publishes wait for the first subscription to be attached.
    private static let firstPatience: Duration = .seconds(4)

    /// The real time for which a bus on a manual clock waits at least, where nobody advances the clock.
    static let manualPatience: Duration = .seconds(5)

    /// Connects the bus and delivers events. Returns when the bus has been shut down.
    ///
    /// ```swift
    /// try await ServiceGroup(services: [bus], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger).run()
    /// ```
    ///
    /// A graceful shutdown (of the surrounding `ServiceGroup`, or by ``shutdown()``) refuses publishes from outside
    /// handlers, stops deliveries, and returns deliveries that were not started to the broker. It waits for running
    /// handlers, for unconfirmed publishes and for the asynchronous listeners of ``local`` until
    /// ``EventBusConfiguration/shutdownTimeout``, and closes the transport.
    ///
    /// Cancelling the task does the same without that wait: running handlers are cancelled, their deliveries are
    /// returned to the broker, and handlers and listeners have ``EventBusConfiguration/cancellationGrace`` to end. An
    /// error that ends the bus has the same effect before it is thrown. When this method ends, no handler is running
    /// unless it ignored its cancellation. Such handlers are named in the log and in the error.
    ///
    /// - Throws: ``EventBusError``: `.alreadyRunning` on a second call; `.shuttingDown` if the bus was shut down before
    ///   the first call; `.invalidConfiguration` for a limit that leaves no time; the error of a subscription that was
    ///   made before the start and can never work; errors of the transport that a retry cannot fix, such as
    ///   `.authenticationFailed`; `.shutdownTimedOut` if handlers or local listeners did not end in time, after
    ///   everything else was closed.
    public func run() async throws {
        try await run(try begin())
    }

    private func run(_ subscriptions: AsyncStream<SubscriptionRunner>) async throws {
        // In a separate task, because a cancellation has to end the parts in order instead of all at once.
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

    /// Requests a graceful shutdown. ``run()`` returns when it is complete.
    ///
    /// Before ``run()``, it ends the bus, which cannot be started afterwards. Later calls have no effect.
    public func shutdown() {
        switch lifecycle.withLock({ $0.beginShutdown() }) {
        case .none:
            return
        case .closed:
            stopping.raise()
            end()
        case .drain:
            raiseStartSignals()
            stopping.raise()
        }
    }

    /// Runs the bus while `body` runs, for tests and scripts.
    ///
    /// ```swift
    /// try await bus.withRunning {
    ///     try await bus.publish(OrderCreated(orderID: "42"))
    ///     try await broker.settled()
    /// }
    /// ```
    ///
    /// Starts the bus, waits until every subscription is attached, runs `body`, and shuts down gracefully. If the bus
    /// fails to start, `body` does not run.
    ///
    /// - Returns: The result of `body`.
    /// - Throws: The first error of `body` or ``run()``; `.shuttingDown` if the bus was shut down before every
    ///   subscription was attached.
    public func withRunning<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        // Before anything else, because a bus that another task runs must not be shut down here.
        let subscriptions = try begin()
        return try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask {
                try await self.run(subscriptions)
                return nil
            }
            group.addTask {
                try await self.started.wait()
                // A bus that could not start reports the reason as the error of its run.
                guard self.lifecycle.withLock({ $0.hasRun }) else { return nil }
                return try await body()
            }
            do {
                // A bus that ends before the body was either shut down by it, or throws the error that ended it.
                var result = try await group.next() ?? nil
                if result == nil { result = try await group.next() ?? nil }
                shutdown()
                try await group.waitForAll()
                guard let result else {
                    try Task.checkCancellation()
                    throw EventBusError(.shuttingDown, "the bus was shut down before its subscriptions were attached")
                }
                return result
            } catch {
                shutdown()
                group.cancelAll()
                // The caller needs the first error.
                while let outcome = await group.nextResult() { _ = outcome }
                throw error
            }
        }
    }

    private func begin() throws -> AsyncStream<SubscriptionRunner> {
        try configuration.validate()
        switch lifecycle.withLock({ $0.start() }) {
        case .started:
            break
        case .alreadyStarted:
            throw EventBusError(.alreadyRunning, "run() was called before; a bus runs once: make a new one")
        case .shutDown:
            throw EventBusError(.shuttingDown, "the bus was shut down before run() was called: make a new one")
        }
        do {
            let subscriptions = try registry.open()
            begun.raise()
            return subscriptions
        } catch {
            end(failure: error)
            throw error
        }
    }

    /// Releases everyone who waits for the bus to start.
    private func raiseStartSignals() {
        begun.raise()
        opened.raise()
        started.raise()
    }

    /// Closes the bus. Nobody waits for it any more, and it releases its handlers, which often retain the bus.
    private func end(failure: (any Error)? = nil) {
        lifecycle.withLock { $0.close(failure: failure.map { "\($0)" }) }
        raiseStartSignals()
        registry.close()
        registry.removeEnded()
        local.endStreams()
    }

    private func abort() {
        shutdown()
        aborting.raise()
        for runner in registry.runners { runner.abort() }
    }

    /// Runs the transport, the watchdog and the subscriptions of the bus, and ends them in order.
    ///
    /// Whatever ends the bus, the transport runs until the handlers have ended or were given up.
    private func work(on subscriptions: AsyncStream<SubscriptionRunner>) async throws {
        let ending = await withTaskGroup(of: Part.self) { group in
            group.addTask { [transport] in
                do {
                    try await transport.run()
                    return .transport(nil)
                } catch {
                    return .transport(error)
                }
            }
            group.addTask { [watchdog] in
                await watchdog.run()
                return .watchdog
            }
            group.addTask { [stopping] in
                try? await stopping.wait()
                return .stop
            }
            group.addTask {
                await self.limitShutdownInRealTime()
                return .timekeeper
            }
            group.addTask { [initial = registry.runners] in
                do {
                    try await Self.waitUntilAttached(initial)
                    return .start(nil)
                } catch {
                    return .start(error)
                }
            }
            group.addTask { [initial = registry.runners] in
                await Self.wait(withPatienceFor: initial)
                return .impatience
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
            return await work(through: &group)
        }
        let unfinished = unfinishedWork(listeners: ending.unhandledByListeners)
        end(failure: ending.failure)
        if let unfinished { logger.logger.info("\(unfinished.message)") }
        if let error = ending.failure ?? unfinished { throw error }
    }

    /// Handles the ends of the parts until all have ended.
    private func work(through parts: inout TaskGroup<Part>) async -> Ending {
        var ending = Ending()
        var deadline: AnyClock.Instant?
        var isClosing = false
        /// Records an error of the run. Handlers are cancelled and awaited before it is thrown.
        func fail(_ error: any Error) {
            ending.failure = ending.failure ?? error
            abort()
        }
        for await part in parts {
            switch part {
            case .start(nil):
                lifecycle.withLock { $0.ready() }
                opened.raise()
                started.raise()
            case .start(let error?):
                fail(error)
            case .impatience:
                goOnWithoutAll()
            case .stop:
                deadline = clock.now.advanced(by: configuration.shutdownTimeout)
                registry.close()
                // Also abort runners that were added while the others were being aborted.
                if aborting.isRaised { for runner in registry.runners { runner.abort() } }
            case .subscriptions:
                await flushPublishes(until: deadline ?? clock.now)
                ending.unhandledByListeners = await awaitListeners(until: deadline ?? clock.now)
                isClosing = true
                parts.cancelAll()
            case .transport(let error?):
                // At its end it may report that it was cancelled.
                if !(isClosing && error is CancellationError) { fail(error) }
            case .transport(nil) where !stopping.isRaised:
                // A transport that returns unasked would leave an unusable bus running.
                fail(EventBusError(.unavailable, "the transport \(transport.name) stopped by itself"))
            case .transport, .watchdog, .timekeeper:
                break
            }
        }
        return ending
    }

    /// Advances a manual clock to the limits of a shutdown that takes as much real time, because nobody else advances it
    /// then.
    private func limitShutdownInRealTime() async {
        guard clock.isManual, (try? await stopping.wait()) != nil else { return }
        let (real, deadline) = (AnyClock.continuous, clock.now.advanced(by: configuration.shutdownTimeout))
        let patience = max(configuration.shutdownTimeout, Self.manualPatience)
        guard (try? await real.sleep(until: real.now.advanced(by: patience))) != nil else { return }
        await clock.advance(to: deadline)
        // Handlers, listeners and the transport have their grace one after another.
        while (try? await real.sleep(until: real.now.advanced(by: .seconds(1)))) != nil {
            await clock.advance(to: clock.now.advanced(by: configuration.cancellationGrace))
        }
    }

    /// Waits as long as publishes wait for subscriptions to be attached.
    private static func wait(withPatienceFor runners: [SubscriptionRunner]) async {
        let clock = AnyClock.continuous
        _ = try? await withDeadline(clock.now.advanced(by: firstPatience), clock: clock) {
            await withTaskGroup(of: Bool.self) { group in
                for runner in runners {
                    group.addTask { (try? await runner.waitUntilAttached()) != nil }
                }
                for await isAttached in group where isAttached { break }
                group.cancelAll()
            }
        }
        try? await clock.sleep(until: clock.now.advanced(by: startingPatience))
        // In a busy process, time passes without the attaching tasks running, so yield to them a few times.
        for _ in 0..<100 where !Task.isCancelled { await Task.yield() }
    }

    private static func waitUntilAttached(_ runners: [SubscriptionRunner]) async throws {
        for runner in runners {
            do {
                try await runner.waitUntilAttached()
            } catch let error as EventBusError where error.code == .shuttingDown {
                // Cancelled before it began. The others count.
            }
        }
    }

    /// Lets publishes proceed although a subscription is still not attached.
    private func goOnWithoutAll() {
        guard lifecycle.withLock({ $0.open() }) else { return }
        opened.raise()
        let missing = registry.runners.filter(\.isAttaching).map(\.info.queueName).joined(separator: ", ")
        logger.logger.info(
            "subscriptions are not attached yet; publishes no longer wait for them",
            metadata: [LogKeys.subscription: "\(missing)"]
        )
    }

    /// Returns an error that names the handlers and local listeners that were given up, or `nil` if all ended.
    private func unfinishedWork(listeners unhandled: Int) -> EventBusError? {
        var parts: [String] = []
        let abandoned = registry.runners.filter { $0.abandoned > 0 }
        if !abandoned.isEmpty {
            let names = abandoned.map { "\($0.info.queueName) (\($0.abandoned))" }.joined(separator: ", ")
            parts.append(
                "handlers did not end in time, nor when they were cancelled; their events come again: \(names)"
            )
        }
        if unhandled > 0 {
            parts.append("async local listeners have \(unhandled) events left that they did not handle in time")
        }
        return parts.isEmpty ? nil : EventBusError(.shutdownTimedOut, parts.joined(separator: "; "))
    }

    /// Waits until no publish is in flight, or until the shutdown deadline. The time that handlers have used is not
    /// granted again.
    private func flushPublishes(until deadline: AnyClock.Instant) async {
        guard lifecycle.withLock({ $0.beginFlush() }), !aborting.isRaised else { return }
        let publishesDone = publishesDone
        _ = await wait(until: deadline) { try? await publishesDone.wait() }
    }

    /// Waits until the asynchronous local listeners have handled their events, or until the shutdown deadline.
    ///
    /// - Returns: The number of events that are left.
    private func awaitListeners(until deadline: AnyClock.Instant) async -> Int {
        guard local.pendingCount > 0 else { return 0 }
        let local = local
        return await wait(until: deadline) { await local.idle() } ? 0 : local.pendingCount
    }

    /// Waits for `step`, which must respond to cancellation, until `deadline`, or until the grace period after an abort
    /// has passed.
    ///
    /// - Returns: `true` if the step has completed.
    private func wait(until deadline: AnyClock.Instant, for step: @escaping @Sendable () async -> Void) async -> Bool {
        let (clock, aborting, grace) = (clock, aborting, configuration.cancellationGrace)
        return await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await step()
                return true
            }
            group.addTask {
                if !aborting.isRaised {
                    _ = try? await withDeadline(deadline, clock: clock) { try await aborting.wait() }
                }
                if aborting.isRaised { try? await clock.sleep(until: clock.now.advanced(by: grace)) }
                return false
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
    }

    /// The way in which a bus ended.
    private struct Ending {
        /// The error that ended it.
        var failure: (any Error)?
        /// The number of events that asynchronous local listeners had not handled.
        var unhandledByListeners = 0
    }

    private enum Part: Sendable {
        case start((any Error)?)
        case impatience
        case transport((any Error)?)
        case watchdog
        case timekeeper
        case stop
        case subscriptions
    }
}
