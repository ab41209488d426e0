import EventBus

extension TopologyPlan {
    /// Declares a subscription's queue and its bindings after other objects.
    ///
    /// A queue with a single active consumer that an earlier release declared has a delivery limit. It is kept as it is,
    /// because arguments cannot be changed.
    ///
    /// - Returns: `true` if an earlier release declared the queue.
    func declare(
        _ specification: QueueSpecification,
        name: String,
        after calls: [AMQPCall],
        on connection: RabbitConnection
    ) async throws(AMQPFailure) -> Bool {
        do throws(AMQPFailure) {
            try await Self.call(calls + subscription(specification, name: name), on: connection)
            return false
        } catch {
            guard hasCrashRecord(specification), TopologyClash(error.text)?.argument == "x-delivery-limit" else {
                throw error
            }
            try await Self.call(calls + subscription(specification, name: name, isOld: true), on: connection)
            return true
        }
    }

    /// Makes calls on a channel of their own.
    private static func call(_ calls: [AMQPCall], on connection: RabbitConnection) async throws(AMQPFailure) {
        let channel = try await connection.openChannel { _ in }
        try await connection.call(calls, on: channel)
        await connection.closeChannel(channel)
    }
}
