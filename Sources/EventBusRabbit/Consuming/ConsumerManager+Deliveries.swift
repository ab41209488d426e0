import ConnectionThread
import EventBus

/// The broker's messages about consumers, and the settlement of their deliveries.
extension ConsumerManager {
    // MARK: Events from the broker

    func handle(_ event: ChannelEvent, of id: UInt64, _ generation: UInt64) {
        guard let session = sessions[id], session.generation == generation else { return }
        switch event {
        case .delivered(let delivery):
            receive(delivery, session)
        case .consumerCancelled:
            logger.info(
                "the broker cancelled a consumer because its queue was deleted or moved",
                metadata: ["queue": "\(session.queueName)"]
            )
            guard session.phase == .attached || session.phase == .attaching else { return }
            session.hasLostQueue = true
            flush(session)
            if case .reading = session.crashes {
                // Their queue may be gone, so they are held like the others.
                session.crashes = .unavailable
                let waiting = session.uncounted
                session.uncounted = []
                for delivery in waiting { receive(delivery, session) }
            }
            keepUnsettled(of: session)
            // Its unsettled deliveries are still settled on its channel. A new channel takes over.
            let channel = session.channel
            detached(session, AMQPFailure(.channelClosed(0), "the broker ended the consumer"))
            session.wake()
            connection?.assumeIsolated { connection in
                connection.closeChannelWithoutWaiting(channel)
            }
        case .unreadable(let deliveryTag, let isRedelivered):
            giveUpUnreadable(deliveryTag, isRedelivered: isRedelivered, session)
        case .closed(let failure):
            detached(session, failure)
            session.wake()
        case .confirmed, .returned:
            break
        }
    }

    func receive(_ delivery: AMQPDelivery, _ session: ConsumerSession) {
        guard !awaitsStreamCheck(delivery, session), let crashes = crashCount(for: delivery, session) else { return }
        let consumer = session.consumer
        let tag = delivery.deliveryTag
        session.tracker.delivered(tag)
        if let size = delivery.message.refusedSize {
            logger.info(
                "dead-lettering an event that exceeds the maximum body size",
                metadata: ["queue": "\(session.queueName)", "bytes": "\(size)"]
            )
            return reject(tag, session)
        }
        let token = Delivery.Token(generation: session.generation, number: tag)
        do throws(NoTopic) {
            let decoded = try consumer.decoder.decode(
                delivery.message,
                in: session.queueName,
                isRedelivered: delivery.isRedelivered,
                maximumRedeliveries: crashes
            )
            if let queue = decoded.refusedReplyQueue { logRefusedReplyQueue(queue, decoded.envelope, session) }
            if !decoded.isTrusted, !decoded.isDelayed, !delivery.isRedelivered {
                session.latestTime = decoded.envelope.time
            }
            if decoded.isEarly { logEarly(decoded.envelope, session) }
            consumer.hold(
                RabbitConsumer.Held(
                    envelopeID: decoded.envelope.id,
                    topic: decoded.envelope.topic,
                    failedAttempts: decoded.failedAttempts,
                    isTrusted: decoded.isTrusted,
                    message: delivery.message
                ),
                tag: tag
            )
            if decoded.redeliveries > RedeliveryLimits.maximum { return deadLetterCrashing(decoded, token, session) }
            handOver(
                Delivery(
                    envelope: decoded.envelope,
                    attempt: decoded.failedAttempts + 1,
                    redeliveries: decoded.redeliveries,
                    deferredFor: WireHeaders.deferred(
                        in: delivery.message.properties.headers,
                        isTrusted: decoded.isTrusted
                    ),
                    firstFailure: WireHeaders.firstFailure(
                        in: delivery.message.properties.headers,
                        isTrusted: decoded.isTrusted
                    ),
                    replyAddress: decoded.replyAddress,
                    hasContentID: delivery.message.hasContentID(isTrusted: decoded.isTrusted),
                    token: token
                ),
                session
            )
        } catch {
            deadLetter(delivery.message, token, without: error, session)
        }
    }

    /// The maximum number of deliveries read in one turn that are handed over together, because waking a handler for
    /// each would take longer than reading it.
    static let deliveriesAtOnce = 16

    func handOver(_ delivery: Delivery, _ session: ConsumerSession) {
        session.arrived.append(delivery)
        if session.arrived.count == 1 {
            thread.atEndOfTurn { [weak self, id = session.consumer.id] in
                self?.assumeIsolated { manager in
                    if let session = manager.sessions[id] { manager.handOverAll(session) }
                }
            }
        } else if session.arrived.count == Self.deliveriesAtOnce {
            handOverAll(session)
        }
    }

    func handOverAll(_ session: ConsumerSession) {
        guard !session.arrived.isEmpty else { return }
        session.consumer.sink.receive(contentsOf: session.arrived)
        session.arrived.removeAll(keepingCapacity: true)
    }

    /// Rejects an event whose headers could not be read for the second time, which sends it to the queue's dead-letter
    /// exchange. The first time, the network may have been the reason.
    private func giveUpUnreadable(_ tag: UInt64, isRedelivered: Bool, _ session: ConsumerSession) {
        guard isRedelivered else {
            return logger.warning(
                "received an event whose headers cannot be read; connecting again",
                metadata: ["queue": "\(session.queueName)"]
            )
        }
        logger.warning(
            "dead-lettering an event whose headers cannot be read",
            metadata: ["queue": "\(session.queueName)"]
        )
        flush(session)
        session.tracker.delivered(tag)
        // At once, because the connection is about to end. The queue of the dead letters was there when the consumer was
        // attached, after the first sight of this event.
        settle(tag, .reject, session)
    }

    /// Rejects a delivery, once its dead letter has a queue. Until then it is kept, because a classic queue would drop it.
    private func reject(_ tag: UInt64, _ session: ConsumerSession) {
        let (id, generation) = (session.consumer.id, session.generation)
        let group = session.consumer.specification.group
        Task {
            var failures = 0
            while await !ensureDeadLetters(of: group) {
                guard sessions[id]?.generation == generation else { return }
                failures += 1
                try? await Task.sleep(for: RabbitConsumer.pause(after: failures))
            }
            guard let session = sessions[id], session.generation == generation else { return }
            settle(tag, .reject, session)
        }
    }

    /// Dead-letters an event that cannot become an envelope because it contains no topic.
    func deadLetter(
        _ message: AMQPMessage,
        _ token: Delivery.Token,
        without error: NoTopic,
        _ session: ConsumerSession
    ) {
        logger.info(
            "dead-lettering an event without a valid topic",
            metadata: ["queue": "\(session.queueName)", "error": "\(error)"]
        )
        session.consumer.hold(
            RabbitConsumer.Held(
                envelopeID: message.eventID,
                topic: nil,
                failedAttempts: 0,
                isTrusted: false,
                message: message
            ),
            tag: token.number
        )
        session.consumer.deadLetter(
            token,
            Failure(reason: error.reason, errorType: "EventBusError", message: "\(error)", attempt: 1)
        )
    }

    /// Logs that a delayed event arrived before its time, because the delays of the levels were shortened or the clock of
    /// the process that published it is ahead.
    func logEarly(_ envelope: Envelope, _ session: ConsumerSession) {
        logger.warning(
            "delayed event arrived early; a policy limits the delay levels, or the clocks of the services differ",
            metadata: ["queue": "\(session.queueName)", "event": "\(envelope.id)"]
        )
    }

    /// Logs that a request asked for a reply to a queue that is not allowed.
    func logRefusedReplyQueue(_ queue: String, _ envelope: Envelope, _ session: ConsumerSession) {
        logger.info(
            "request not answered because its reply queue is not allowed",
            metadata: [
                "queue": "\(session.queueName)", "event": "\(envelope.id)",
                "reply-queue": "\(queue.quotedForError)",
            ]
        )
    }

    func detached(_ session: ConsumerSession, _ failure: AMQPFailure) {
        guard session.generation != 0 else { return }
        // It was about to consume its queue, which may be what caused the broker's error.
        if failure.isInternalError, session.phase == .attaching { session.isSuspect = true }
        let generation = session.generation
        session.generation = 0
        session.channel = 0
        session.lastFailure = failure
        // The broker redelivers it.
        session.arrived = []
        session.uncounted = []
        session.unchecked = []
        if session.phase == .attached || session.phase == .attaching { session.phase = .detached }
        session.consumer.end(generation: generation)
        report(session)
    }

    // MARK: Settling

    /// The maximum time for which an acknowledgement waits for others.
    static let acknowledgementDelay = Duration.milliseconds(1)

    nonisolated func flushNow(_ consumer: RabbitConsumer) {
        let id = consumer.id
        thread.execute { [weak self] in
            self?.assumeIsolated { $0.flush(id) }
        }
    }

    nonisolated func flushSoon(_ consumer: RabbitConsumer) {
        let id = consumer.id
        thread.execute { [weak self] in
            self?.assumeIsolated { manager in
                _ = manager.thread.schedule(at: .now.advanced(by: Self.acknowledgementDelay)) { [weak manager] in
                    manager?.assumeIsolated { $0.flush(id) }
                }
            }
        }
    }

    func flush(_ id: UInt64) {
        if let session = sessions[id] { flush(session) }
    }

    func flush(_ session: ConsumerSession) {
        for (tag, how) in session.consumer.takeSettled() {
            if case .acknowledge = how {
                _ = session.tracker.acknowledge(tag)
            } else {
                settle(tag, how, session)
            }
        }
        guard let connection, session.channel != 0 else { return }
        let channel = session.channel
        let acknowledgements = session.tracker.flush()
        connection.assumeIsolated { connection in
            for acknowledgement in acknowledgements {
                connection.acknowledge(acknowledgement.tag, multiple: acknowledgement.multiple, on: channel)
            }
        }
    }

    func settle(_ tag: UInt64, _ how: RabbitConsumer.Settlement, _ session: ConsumerSession) {
        guard session.tracker.remove(tag), session.channel != 0 else { return }
        let channel = session.channel
        connection?.assumeIsolated { connection in
            switch how {
            case .requeue: connection.requeue(tag, on: channel)
            case .reject, .acknowledge: connection.reject(tag, on: channel)
            }
        }
    }

    /// Sends all pending acknowledgements.
    func flushAll() {
        for session in sessions.values { flush(session) }
    }

    nonisolated func deliverAgain(_ delivery: Delivery, to consumer: RabbitConsumer, after delay: Duration) {
        thread.execute { [weak self] in
            self?.assumeIsolated { manager in
                _ = manager.thread.schedule(at: .now.advanced(by: delay)) {
                    if consumer.isHolding(delivery.token) { consumer.sink.receive(delivery) }
                }
            }
        }
    }
}
