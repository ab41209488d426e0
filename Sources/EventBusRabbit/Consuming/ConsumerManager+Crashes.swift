import ConnectionThread
import EventBus

/// The crash records of queues with a single active consumer.
///
/// An event that crashes every process that handles it has to end in the dead letters. Brokers before 4.3 count every
/// redelivery of an event, including those after an orderly close. Events of other queues are then returned as copies,
/// whose count starts at zero, but copies would lose the order of their keys. Such a queue therefore has a crash record:
/// a message that an active consumer leaves behind if it does not close its channel in order. It contains the number of
/// consumers in succession that ended in this way, which is the maximum number of redeliveries that an event has caused.
///
/// A consumer reads and writes the record at its first redelivered event, and removes it before it closes its channel.
extension ConsumerManager {
    /// The maximum time for reading the record and writing it again.
    private static let recordTimeout = Duration.seconds(5)
    /// The maximum number of messages that are read. More than one are left after a crash between two steps.
    private static let maximumRecords = 100

    /// Returns the maximum number of redeliveries that a delivery may have caused, or `nil` if the delivery waits until
    /// the crash record is read.
    func crashCount(for delivery: AMQPDelivery, _ session: ConsumerSession) -> Int? {
        guard plan.hasCrashRecord(session.consumer.specification) else { return .max }
        switch session.crashes {
        case .known(let count):
            return count
        case .unavailable:
            // It may have crashed consumers, so it is handled alone, but it is not given up.
            return RedeliveryLimits.maximum
        case .forbidden:
            // The broker's count is all there is. It includes orderly restarts, but an event must not be handled endlessly.
            return .max
        case .unknown where !delivery.isRedelivered:
            return .max
        case .unknown:
            session.uncounted.append(delivery)
            session.crashes = .reading(Task { await self.readCrashRecord(session, generation: session.generation) })
        case .reading:
            session.uncounted.append(delivery)
        }
        return nil
    }

    private func readCrashRecord(_ session: ConsumerSession, generation: UInt64) async {
        var crashes = ConsumerSession.CrashCount.unavailable
        let queue = session.queueName
        do {
            crashes = .known(try await records.use { try await self.renewCrashRecord(of: queue, on: $0) })
        } catch let error where Self.isForbidden(error) {
            crashes = .forbidden
            logger.info(
                "no access to the crash record; the broker's redelivery count limits redeliveries",
                metadata: ["queue": "\(queue)", "reason": "\(error)"]
            )
        } catch {
            logger.info(
                "could not read the crash record; redelivered events are handled one at a time",
                metadata: ["queue": "\(queue)", "reason": "\(error)"]
            )
        }
        guard session.generation == generation else { return }
        session.crashes = crashes
        let waiting = session.uncounted
        session.uncounted = []
        for delivery in waiting { receive(delivery, session) }
    }

    /// Returns a Boolean value indicating whether an error lasts until an operator changes permissions or objects.
    private static func isForbidden(_ error: any Error) -> Bool {
        switch error {
        case let failure as AMQPFailure:
            failure.isChannelOnly && [AMQPFailure.accessRefused, AMQPFailure.notFound].contains(failure.code)
        case let error as EventBusError: error.code == .accessRefused || error.code == .notFound
        default: false
        }
    }

    /// Reads the record, and writes that of this consumer.
    ///
    /// - Returns: The number of consumers in succession that did not close the queue in order.
    private func renewCrashRecord(of queue: String, on connection: RabbitConnection) async throws -> Int {
        let channel = try await connection.openChannel { _ in }
        do {
            let crashes = try await renewCrashRecord(of: queue, on: connection, channel)
            await connection.closeChannel(channel)
            return crashes
        } catch let failure as AMQPFailure {
            // It has ended the channel.
            throw failure
        } catch {
            // Returns what was read, so that the next consumer counts it.
            await connection.closeChannel(channel)
            throw error
        }
    }

    private func renewCrashRecord(
        of queue: String,
        on connection: RabbitConnection,
        _ channel: UInt16
    ) async throws -> Int {
        let record = plan.crashRecord(of: queue)
        if configuration.declaration == .active { try await connection.call(.queueDeclare(record), on: channel) }
        var crashes = 0
        var read: [UInt64] = []
        while read.count < Self.maximumRecords,
            case .message(let old, _) = try await connection.call(.basicGet(queue: record.name), on: channel)
        {
            read.append(old.deliveryTag)
            let before = Int(clamping: max(0, old.message.properties.headers[WireHeaders.crashes]?.int ?? 0))
            crashes = max(crashes, min(before, 1 << 30) + 1)
        }
        var properties = AMQPProperties()
        properties.headers[WireHeaders.crashes] = .int(Int64(crashes))
        let publish = AMQPPublish(exchange: "", routingKey: record.name, properties: properties, body: [])
        let deadline = MonotonicTime.now.advanced(by: Self.recordTimeout)
        guard try await publisher.publish(publish, outcome: .routed, deadline: deadline) == .routed else {
            throw EventBusError(.notFound, "\(record.name) does not exist")
        }
        for tag in read { await connection.acknowledge(tag, multiple: false, on: channel) }
        return crashes
    }

    /// Removes the record, if this consumer has written it, because its channel is about to be closed in order.
    func clearCrashRecord(_ session: ConsumerSession) async {
        if case .reading(let task) = session.crashes { await task.value }
        guard case .known = session.crashes, session.channel != 0 else { return }
        let record = TopologyNames.crashRecord(of: session.queueName)
        do {
            try await records.use { connection in
                let channel = try await connection.openChannel { _ in }
                try await connection.call(.queuePurge(name: record), on: channel)
                await connection.closeChannel(channel)
            }
        } catch {
            // It stays, as after a crash.
        }
    }

    /// Dead-letters an event that may have crashed too many consumers.
    func deadLetterCrashing(_ decoded: DecodedMessage, _ token: Delivery.Token, _ session: ConsumerSession) {
        session.consumer.deadLetter(
            token,
            Failure(
                reason: .deliveryLimit,
                errorType: "EventBusError",
                message: "consumers vanished with the delivery \(decoded.redeliveries) times",
                attempt: decoded.failedAttempts
            )
        )
    }
}
