import DequeModule
import EventBus

/// The times of deliveries. Their numbers increase, so one note suffices for all deliveries made by an instant.
struct DeliveryAges: Sendable {
    private struct Note: Sendable {
        var instant: AnyClock.Instant
        /// The number of the last delivery that was made by then.
        var last: UInt64
    }

    private var notes: Deque<Note> = []

    /// The earliest recorded instant.
    var earliest: AnyClock.Instant? { notes.first?.instant }

    /// Returns the instant by which the delivery with this number was made, if it is still recorded.
    func instant(of number: UInt64) -> AnyClock.Instant? {
        notes.first { number <= $0.last }?.instant
    }

    /// Records that the deliveries up to `number` were made at `instant` or before.
    mutating func note(_ number: UInt64, at instant: AnyClock.Instant) {
        if notes.last?.instant == instant { notes.removeLast() }
        notes.append(Note(instant: instant, last: number))
    }

    /// Removes and returns the number of the last delivery that was made at `instant` or before.
    mutating func take(madeBy instant: AnyClock.Instant) -> UInt64? {
        var last: UInt64?
        while let first = notes.first, first.instant <= instant { last = notes.removeFirst().last }
        return last
    }

    mutating func removeAll() { notes.removeAll() }
}
