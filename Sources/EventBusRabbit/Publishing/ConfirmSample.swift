import ConnectionThread

/// A measurement of the time from sending an event to its confirm.
///
/// Only one event at a time is measured, so that the others cost nothing.
struct ConfirmSample {
    private var pending: (tag: UInt64, start: MonotonicTime)?

    /// A Boolean value indicating whether no event is being measured.
    var isIdle: Bool { pending == nil }

    /// Starts to measure the event with this delivery tag.
    mutating func begin(_ tag: UInt64) {
        pending = (tag, .now)
    }

    /// Returns the time until the confirm, if it is that of the measured event.
    mutating func confirmed(_ tag: UInt64, multiple: Bool) -> Duration? {
        guard let pending, tag == pending.tag || (multiple && tag > pending.tag) else { return nil }
        self.pending = nil
        return pending.start.duration(to: .now)
    }

    /// Gives up the measurement, because the channel is closed.
    mutating func cancel() {
        pending = nil
    }
}
