import ConnectionThread
import EventBus

/// The queues of subscriptions that are paused, or are about to begin their next session. Nobody consumes them, so the
/// broker reports to nobody that one of them, or a binding, is gone.
extension ConsumerManager {
    /// Notes that the queue of a consumer that ends has to collect events, or with `nil` that this is over.
    nonisolated func keepQueue(_ specification: QueueSpecification?, of consumer: UInt64) {
        kept.withLock { $0[consumer] = specification }
        if specification == nil { health.setMissing(Self.subject(consumer), nil) }
    }

    /// The kept queues that no session consumes, in the order of their consumers.
    var keptQueues: [(consumer: UInt64, specification: QueueSpecification)] {
        kept.withLock { $0 }.filter { sessions[$0.key]?.hasQueue != true }.sorted { $0.key < $1.key }
            .map { ($0.key, $0.value) }
    }

    /// The groups of the service's subscriptions, in order.
    var groups: [String] {
        let attached = sessions.values.map(\.consumer.specification.group)
        return Set(attached + kept.withLock { $0.values.map(\.group) }).sorted()
    }

    /// Checks for the next kept queue and its due queue, without writing anything. If one is missing twice, everything is
    /// declared again. An instance that consumes the queue has to find it missing first.
    ///
    /// - Parameter latest: The consumer whose queue was checked last, and whether it was missing.
    func checkKept(after latest: inout (consumer: UInt64, isMissing: Bool), on connection: RabbitConnection) async {
        let all = keptQueues
        let again = latest.isMissing ? all.first { $0.consumer == latest.consumer } : nil
        guard let next = again ?? all.first(where: { $0.consumer > latest.consumer }) ?? all.first else { return }
        latest = (next.consumer, false)
        let name = configuration.queueName(of: next.specification)
        do throws(AMQPFailure) {
            for queue in [name, TopologyNames.dueQueue(of: name)] {
                guard try await !exists(queue, on: connection) else { continue }
                let missing = AMQPFailure(.channelClosed(AMQPFailure.notFound), "no queue '\(queue)'")
                if configuration.declaration == .passive { throw missing }
                latest.isMissing = again == nil
                if !latest.isMissing { _ = await declareAgain(missing.text) }
                return
            }
            setKept(next.consumer, nil)
        } catch {
            if error.isChannelOnly { setKept(next.consumer, error) }
        }
    }

    /// Declares and binds the kept queues. What cannot be declared is named in health.
    func declareKept(on connection: RabbitConnection) async {
        var hasWaited = false
        for (consumer, specification) in keptQueues {
            let name = configuration.queueName(of: specification)
            do throws(AMQPFailure) {
                if !hasWaited, try await !exists(name, on: connection) {
                    hasWaited = true
                    // Other instances may consume it, and have to find it missing too.
                    await withoutCancellation { try? await Task.sleep(for: Self.absence) }
                }
                _ = try await declare(specification, name: name, on: connection)
                setKept(consumer, nil)
            } catch {
                guard error.isChannelOnly else { return }
                setKept(consumer, error)
                logger.warning(
                    "the queue of a paused subscription could not be declared again",
                    metadata: ["queue": "\(name)", "reason": "\(error)"]
                )
            }
        }
    }

    private func setKept(_ consumer: UInt64, _ failure: AMQPFailure?) {
        // It may have ended meanwhile.
        kept.withLock { kept in
            if failure == nil || kept[consumer] != nil { health.setMissing(Self.subject(consumer), failure?.text) }
        }
    }

    private static func subject(_ consumer: UInt64) -> String { "kept-\(consumer)" }
}
