import EventBus
import Synchronization

/// The times from the call of `publish` to the handler, to the acknowledgement and to the confirm of an event.
///
/// It observes an event when its acknowledgement has been passed to the connection.
final class Latency: DeliveryObserver {
    private struct State {
        var handled: [Int64] = []
        var acknowledged: [Int64] = []
        var confirmed: [Int64] = []
    }

    private let state = Mutex(State())
    private let epoch = ContinuousClock.now

    /// The nanoseconds of a separate clock, to be carried by an event.
    var now: UInt64 { UInt64(clamping: epoch.duration(to: .now).nanoseconds) }

    private func elapsed(since start: UInt64) -> Int64 { Int64(clamping: now) - Int64(clamping: start) }

    /// Records that the event that was published at `start` is confirmed.
    func confirmed(since start: UInt64) {
        let elapsed = elapsed(since: start)
        state.withLock { $0.confirmed.append(elapsed) }
    }

    /// Records that the handler of the event that was published at `start` begins.
    func handled(since start: UInt64) {
        let elapsed = elapsed(since: start)
        state.withLock { $0.handled.append(elapsed) }
    }

    func didSettle(_ delivery: SettledDelivery) {
        let elapsed = elapsed(since: Filler.number(in: delivery.envelope.payload))
        state.withLock { $0.acknowledged.append(elapsed) }
    }

    var acknowledgedCount: Int { state.withLock { $0.acknowledged.count } }

    /// Returns one line for each of the three times.
    func report(rate: Int) -> String {
        let (handled, acknowledged, confirmed) = state.withLock { ($0.handled, $0.acknowledged, $0.confirmed) }
        return [("handled", handled), ("acknowledged", acknowledged), ("confirmed", confirmed)]
            .map { station, samples in
                let sorted = samples.sorted()
                func milliseconds(_ part: Double) -> Double {
                    guard !sorted.isEmpty else { return .nan }
                    let index = min(Int(Double(sorted.count) * part), sorted.count - 1)
                    return (Double(sorted[index]) / 1_000_000).rounded(to: 2)
                }
                return "latency until=\(station) rate=\(rate) events=\(sorted.count) "
                    + "p50_ms=\(milliseconds(0.5)) p99_ms=\(milliseconds(0.99)) max_ms=\(milliseconds(1))"
            }
            .joined(separator: "\n")
    }
}

extension Duration {
    fileprivate var nanoseconds: Int64 {
        components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
    }
}
