import EventBus
import Synchronization

/// An observer that counts the outcomes of deliveries on all buses of the shop.
final class DeliveryCounter: DeliveryObserver {
    /// The counts at one moment.
    struct Counts: Hashable, Sendable {
        var placed = 0
        var retries = 0
        var duplicatesSuppressed = 0
        var deadLetters = 0
    }

    private let state = Mutex(Counts())

    /// The current counts.
    var counts: Counts { state.withLock { $0 } }

    func update(_ change: (inout Counts) -> Void) {
        state.withLock { change(&$0) }
    }

    /// Counts a settled delivery. Unsettled deliveries of a lost connection are redelivered and counted then.
    func didSettle(_ delivery: SettledDelivery) {
        switch delivery.disposition {
        case .retried: update { $0.retries += 1 }
        case .deadLettered: update { $0.deadLetters += 1 }
        case .acknowledged, .deferred, .requeued: break
        }
    }
}
