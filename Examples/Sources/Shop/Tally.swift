import EventBus
import Synchronization

/// Counts what happens to deliveries, as a middleware of every bus of the shop.
final class Tally: ConsumeMiddleware {
    /// The figures at one moment.
    struct Counts: Hashable, Sendable {
        var placed = 0
        var retries = 0
        var duplicatesSuppressed = 0
        var deadLetters = 0
    }

    private let state = Mutex(Counts())

    /// The figures at this moment.
    var counts: Counts { state.withLock { $0 } }

    func update(_ change: (inout Counts) -> Void) {
        state.withLock { change(&$0) }
    }

    func consume(_ context: EventContext, next: ConsumeNext) async throws {
        try await next(context)
    }

    /// Counts what was settled. What a lost connection left unsettled comes again and is counted then.
    func didSettle(_ delivery: SettledDelivery) {
        switch delivery.disposition {
        case .retried: update { $0.retries += 1 }
        case .deadLettered: update { $0.deadLetters += 1 }
        case .acknowledged, .deferred, .handedBack: break
        }
    }
}
