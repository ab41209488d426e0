import ConnectionThread
public import EventBus
import Synchronization

/// Publishing and requests.
extension RabbitTransport {
    /// Sends one event and waits until the broker has confirmed it.
    public func publish(_ envelope: Envelope, options: TransportPublishOptions) async throws -> PublishOutcome {
        let publish = try makePublish(envelope, options)
        do {
            let outcome = try await send(publish, options)
            note(.success(outcome), of: publish)
            return outcome
        } catch {
            note(.failure(error), of: publish)
            throw error
        }
    }

    /// Reports an event that matched no queue or was refused.
    private func note(_ result: Result<PublishOutcome, any Error>, of publish: AMQPPublish) {
        switch result {
        case .success(.unroutable):
            core.health.monitor.note(.returned, publish.routingKey)
        case .failure(let error as EventBusError) where error.code.isRefusal:
            core.health.monitor.note(.refused, publish.routingKey, reason: error.message)
        case .success, .failure:
            break
        }
    }

    /// Sends an event. If the result shows that an object of this service is missing on the broker, declares it and
    /// sends the event again.
    private func send(
        _ publish: AMQPPublish,
        _ options: TransportPublishOptions
    ) async throws -> PublishOutcome {
        let deadline = monotonic(options.deadline)
        let outcome = options.delay > .zero ? PublishOutcome.scheduled : .routed
        var result = try await core.publisher.publish(publish, outcome: outcome, deadline: deadline)
        var repetitions = 0
        while result == .unroutable, repetitions < 6, isEvidence(publish, options), MonotonicTime.now < deadline,
            await core.managers.declareAgain("an event to \(publish.exchange) found no queue")
        {
            // A deleted queue is declared by its consumer, which is notified at the same time.
            if repetitions > 0 { try await Task.sleep(for: .milliseconds(10) * (1 << repetitions)) }
            repetitions += 1
            result = try await core.publisher.publish(publish, outcome: outcome, deadline: deadline)
        }
        return result
    }

    /// Returns a Boolean value indicating whether an event without a matching queue shows that a queue or a binding is
    /// missing. A delay level matches every event, and a topic that one of our subscriptions requests has a queue.
    private func isEvidence(_ publish: AMQPPublish, _ options: TransportPublishOptions) -> Bool {
        options.delay > .zero
            || (publish.exchange == configuration.exchange && core.managers.expects(publish.routingKey))
    }

    /// Sends many events in order and keeps the window full.
    public func publish(
        contentsOf envelopes: [Envelope],
        options: TransportPublishOptions
    ) async -> [Result<PublishOutcome, any Error>] {
        guard !envelopes.isEmpty else { return [] }
        let batch = PublishBatchPromise(count: envelopes.count)
        var publishes: [(index: Int, publish: AMQPPublish)] = []
        publishes.reserveCapacity(envelopes.count)
        for (index, envelope) in envelopes.enumerated() {
            do throws(EventBusError) {
                publishes.append((index, try makePublish(envelope, options)))
            } catch {
                batch.resolve(index, .failure(error))
            }
        }
        var results = await core.publisher.publish(
            publishes,
            of: batch,
            outcome: options.delay > .zero ? .scheduled : .routed,
            deadline: monotonic(options.deadline)
        )
        for (index, publish) in publishes {
            if case .success(.unroutable) = results[index], isEvidence(publish, options) {
                do {
                    results[index] = .success(try await send(publish, options))
                } catch {
                    results[index] = .failure(error)
                }
            }
            note(results[index], of: publish)
        }
        return results
    }

    private func makePublish(
        _ envelope: Envelope,
        _ options: TransportPublishOptions,
        _ properties: AMQPProperties? = nil
    ) throws(EventBusError) -> AMQPPublish {
        try envelope.validate()
        try TransportLimits.check(options)
        let delay = options.delay
        var properties = properties ?? AMQPProperties(envelope)
        properties.priority = options.priority
        properties.expiration = options.expiration.map { "\(Self.milliseconds($0))" }
        let own = configuration.route?(envelope)
        let (exchange, routingKey): (String, String)
        if let own {
            guard delay <= .zero else {
                throw EventBusError(.unsupported, "an event with a route of its own cannot be scheduled")
            }
            (exchange, routingKey) = (own.exchange, own.routingKey)
            if let priority = own.priority { properties.priority = priority }
            if let expiration = own.expiration { properties.expiration = "\(Self.milliseconds(expiration))" }
        } else if delay > .zero {
            let route = try DelayRoute(
                delay: delay,
                to: configuration.scheduling == .shared
                    ? .sharedTopic(envelope.topic) : .topic(envelope.topic, exchange: configuration.exchange)
            )
            (exchange, routingKey) = (route.exchange, route.routingKey)
            // After a due queue, the routing key is the queue's name.
            properties.headers[WireHeaders.topic] = .string(envelope.topic.rawValue)
        } else {
            (exchange, routingKey) = (configuration.exchange, envelope.topic.rawValue)
        }
        let publish = AMQPPublish(
            exchange: exchange,
            routingKey: routingKey,
            properties: properties,
            body: envelope.payload
        )
        try checkSize(publish)
        return publish
    }

    /// Returns a time to live in milliseconds, clamped to the broker's range, which ends at 49 days.
    private static func milliseconds(_ duration: Duration) -> Int64 {
        min(max(.zero, duration), .seconds(49 * 86_400)).inNanoseconds / 1_000_000
    }

    /// Checks the limits of the configuration. Those of the connection are checked when there is one.
    private func checkSize(_ publish: AMQPPublish) throws(EventBusError) {
        try TransportLimits.check(bodySize: publish.body.count, maximum: configuration.maximumBodySize)
        guard !publish.properties.headers.isEmpty else { return }
        let size = publish.properties.encodedSize
        if size > TransportLimits.maximumHeaderSize {
            throw EventBusError(
                .tooLarge,
                "the headers have \(size) bytes, \(TransportLimits.maximumHeaderSize) are allowed"
            )
        }
    }

    private func monotonic(_ deadline: AnyClock.Instant) -> MonotonicTime {
        .now.advanced(by: clock.now.duration(to: deadline))
    }

    // MARK: Requests

    /// Sends a request and waits for its reply.
    public func request(_ envelope: Envelope, deadline: AnyClock.Instant) async throws -> Envelope {
        var properties = AMQPProperties(envelope)
        // Foreign responders send the correlation id back, so it identifies the request here, and a header carries the
        // chain of causes.
        let id = "\(envelope.id.rawValue)/\(lastRequest.wrappingAdd(1, ordering: .relaxed).newValue)"
        if let chain = properties.correlationID { properties.headers[WireHeaders.correlationID] = .string(chain) }
        let ownID = String(id.suffix(AMQPProperties.maximumTextLength))
        properties.correlationID = ownID
        properties.replyTo = RequestClient.replyQueue
        let message = try await core.requests.request(
            try makePublish(envelope, TransportPublishOptions(deadline: deadline), properties),
            id: ownID,
            deadline: monotonic(deadline)
        )
        // It arrived as the reply to this request, whatever else it claims to be.
        let decoder = MessageDecoder(events: configuration.exchange, patterns: [TopicPattern(envelope.topic)])
        do throws(NoTopic) {
            var reply = try decoder.decode(message, in: message.routingKey).envelope
            reply.topic = envelope.topic
            if message.properties.headers[WireHeaders.correlationID] == nil {
                reply.correlationID = envelope.correlationID
            }
            return reply
        } catch {
            throw EventBusError(.decodingFailed, "the reply is no event: \(error)", underlying: error)
        }
    }

    /// Sends the reply to a request, once.
    public func reply(_ envelope: Envelope, to address: ReplyAddress) async throws {
        try envelope.validate()
        var properties = AMQPProperties(envelope)
        properties.correlationID = address.requestID
        if let chain = envelope.correlationID {
            properties.headers[WireHeaders.correlationID] = .string(chain.rawValue)
        }
        let publish = AMQPPublish(
            exchange: "",
            routingKey: address.address,
            // A mandatory reply would always be returned, because the address is not a queue.
            isMandatory: false,
            properties: properties,
            body: envelope.payload
        )
        try checkSize(publish)
        guard address.address.utf8.count <= AMQPProperties.maximumTextLength,
            address.requestID.utf8.count <= AMQPProperties.maximumTextLength
        else { throw EventBusError(.invalidEnvelope, "the reply's address is longer than 255 bytes") }
        // Requesters may end the connection again and again, and replies must not fill the memory meanwhile.
        guard core.replies.waiting.load(ordering: .relaxed) < configuration.maximumUnconfirmedEvents else {
            throw EventBusError(.unavailable, "too many replies wait for a connection")
        }
        core.replyDemand.signal()
        core.replies.send(publish, deadline: .now.advanced(by: .seconds(30)))
    }
}
