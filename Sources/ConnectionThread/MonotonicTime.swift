import Glibc

/// A point on the clock that timers of a ``ConnectionThread`` run by: nanoseconds, never set back.
package struct MonotonicTime: Hashable, Comparable, Sendable {
    /// Nanoseconds since an arbitrary start.
    package var nanoseconds: UInt64

    /// The point that lies `nanoseconds` after the clock's start.
    package init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// The present.
    package static var now: MonotonicTime {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return MonotonicTime(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    /// The point that lies `duration` after this one; this one for a negative duration, the last there is for one that
    /// leads beyond it.
    package func advanced(by duration: Duration) -> MonotonicTime {
        let (seconds, attoseconds) = duration.components
        if seconds < 0 || attoseconds < 0 { return self }
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow2) = whole.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
        let (end, overflow3) = nanoseconds.addingReportingOverflow(sum)
        return MonotonicTime(nanoseconds: overflow || overflow2 || overflow3 ? .max : end)
    }

    /// The time from this point to `other`; zero when `other` is not later.
    package func duration(to other: MonotonicTime) -> Duration {
        other > self ? .nanoseconds(Int64(clamping: other.nanoseconds - nanoseconds)) : .zero
    }

    /// Whether `lhs` is earlier than `rhs`.
    package static func < (lhs: MonotonicTime, rhs: MonotonicTime) -> Bool {
        lhs.nanoseconds < rhs.nanoseconds
    }
}
