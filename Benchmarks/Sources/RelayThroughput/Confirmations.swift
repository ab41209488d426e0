import EventBus
import Synchronization

/// A counter of the events that a bus has published.
///
/// It tells when a relay is nearly done. To count the waiting events in the database meanwhile would take a large part of
/// the processor from the relay.
final class Confirmations: PublishMiddleware {
    private let count = Atomic(0)

    func publish(_ event: OutgoingEvent, next: PublishNext) async throws -> PublishReceipt {
        let receipt = try await next(event)
        count.add(1, ordering: .relaxed)
        return receipt
    }

    /// Waits for a number of events, and then until `isEmpty` returns `true`.
    func wait(for events: Int, until isEmpty: () async throws -> Bool) async throws {
        while count.load(ordering: .relaxed) < events { try await Task.sleep(for: .milliseconds(5)) }
        while try await !isEmpty() { try await Task.sleep(for: .milliseconds(5)) }
    }
}
