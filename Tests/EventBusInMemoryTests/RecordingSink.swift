import EventBus

/// A sink that records deliveries and lets a test wait for them.
final class RecordingSink: DeliverySink {
    private struct State {
        var deliveries: [Delivery] = []
        var revocations: [UInt64] = []
        var waiters: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let state = Locked(State())
    private let onReceive: @Sendable (Delivery) -> Void

    init(onReceive: @escaping @Sendable (Delivery) -> Void = { _ in }) {
        self.onReceive = onReceive
    }

    var deliveries: [Delivery] { state.withLock { $0.deliveries } }
    var payloads: [String] { deliveries.map { String(decoding: $0.envelope.payload, as: UTF8.self) } }
    var revocations: [UInt64] { state.withLock { $0.revocations } }

    func receive(_ delivery: Delivery) {
        onReceive(delivery)
        let due = state.withLock { state in
            state.deliveries.append(delivery)
            let count = state.deliveries.count
            let due = state.waiters.filter { $0.count <= count }.map(\.continuation)
            state.waiters.removeAll { $0.count <= count }
            return due
        }
        for continuation in due { continuation.resume() }
    }

    func revoke(through generation: UInt64) {
        state.withLock { $0.revocations.append(generation) }
    }

    /// Waits for the delivery with this index and returns it. The suite's time limit ends a failed wait.
    func delivery(_ index: Int) async -> Delivery {
        await withCheckedContinuation { continuation in
            let isThere = state.withLock { state in
                if state.deliveries.count > index { return true }
                state.waiters.append((index + 1, continuation))
                return false
            }
            if isThere { continuation.resume() }
        }
        return deliveries[index]
    }
}
