import ConnectionThread
import EventBus

/// Bindings that are made again without evidence that they are missing.
extension ConsumerManager {
    /// Returns the interval at which bindings are made again without evidence. An exchange that another service has
    /// deleted and declared again has lost its bindings, which the broker reports to nobody.
    ///
    /// Brokers since 4.0 write every binding through a log of the whole cluster, so it is done rarely there.
    func bindingInterval(_ connection: RabbitConnection) -> Duration {
        let base = connection.brokerMajorVersion >= 4 ? Duration.seconds(180) : configuration.consumerCheckInterval * 10
        // A sweep that takes long is made less often.
        let bound = max(base, .milliseconds(20) * sessions.count)
        return bound * Double.random(in: 0.75...1.25)
    }

    /// Binds all queues again, because another manager has declared missing objects.
    func bindRestored() async {
        if let connection { await bindEach(on: connection) }
    }

    /// Binds all queues and delay levels again, and declares what is missing.
    func bindAgain(on connection: RabbitConnection) async {
        for failure in [await bindShared(on: connection), await bindEach(on: connection)] {
            guard let failure, failure.code == AMQPFailure.notFound else { continue }
            _ = await declareAgain(failure.text)
        }
    }

    /// Binds the delay levels again, and returns the failure. A service that may not bind them leaves it to others.
    private func bindShared(on connection: RabbitConnection) async -> AMQPFailure? {
        // One manager serves for all of the transport.
        guard configuration.declaration == .active, number == 0 else { return nil }
        return await bindAgain(plan.sharedBindings, on: connection)
    }

    /// Binds all queues again, including those of dead letters, and returns the first failure. A refusal is named in
    /// health until it has ended, and disturbs no other queue.
    @discardableResult
    func bindEach(on connection: RabbitConnection) async -> AMQPFailure? {
        guard configuration.declaration == .active else { return nil }
        let attached = sessions.values.filter(\.hasQueue).map { ($0.queueName, $0.consumer.specification) }
        let kept = keptQueues.map { (configuration.queueName(of: $0.specification), $0.specification) }
        let bound = (attached + kept).sorted { $0.0 < $1.0 }
        let calls =
            groups.map { plan.deadLetterBindings(of: $0) }
            + bound.map { name, specification in plan.bindings(specification, name: name) }
        // Usually one channel serves all.
        if await bindAgain(Array(calls.joined()), on: connection) == nil {
            setUnbound(nil)
            return nil
        }
        var failure: AMQPFailure?
        for calls in calls {
            guard await connection.isOpen else { return failure }
            let problem = await bindAgain(calls, on: connection)
            failure = failure ?? problem
        }
        setUnbound(failure)
        return failure
    }

    /// Makes calls on a channel of their own, which a failure closes. Returns the failure.
    private func bindAgain(_ calls: [AMQPCall], on connection: RabbitConnection) async -> AMQPFailure? {
        guard !calls.isEmpty else { return nil }
        do throws(AMQPFailure) {
            let channel = try await connection.openChannel { _ in }
            try await connection.call(calls, on: channel)
            await connection.closeChannel(channel)
            return nil
        } catch {
            return error
        }
    }

    /// Records the reason why a queue could not be bound again. It is logged when it is new.
    private func setUnbound(_ failure: AMQPFailure?) {
        // The queue or exchange is declared again, which has its own report.
        let text = failure?.code == AMQPFailure.notFound ? nil : failure?.text
        guard text != unbound else { return }
        unbound = text
        health.setMissing("bindings-\(number)", text.map { "a queue could not be bound again: \($0)" })
        if let text { logger.warning("a queue could not be bound again", metadata: ["reason": "\(text)"]) }
    }
}
