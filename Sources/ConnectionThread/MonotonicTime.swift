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
        advanced(byNanoseconds: Self.nanoseconds(duration))
    }

    /// The point that lies so many nanoseconds after this one; the last there is for one that would be beyond it.
    package func advanced(byNanoseconds count: UInt64) -> MonotonicTime {
        let (end, overflow) = nanoseconds.addingReportingOverflow(count)
        return MonotonicTime(nanoseconds: overflow ? .max : end)
    }

    /// A duration in nanoseconds; zero for a negative one, the most there are for one that is longer.
    package static func nanoseconds(_ duration: Duration) -> UInt64 {
        if duration <= .zero { return 0 }
        // A duration may have more seconds than an `Int64` holds.
        let (seconds, attoseconds) = min(duration, .seconds(Int64.max)).components
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow2) = whole.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
        return overflow || overflow2 ? .max : sum
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
