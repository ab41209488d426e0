import Glibc

/// An instant of the monotonic clock, in nanoseconds, on which the timers of a ``ConnectionThread`` run.
package struct MonotonicTime: Hashable, Comparable, Sendable {
    /// The nanoseconds since an arbitrary start.
    package var nanoseconds: UInt64

    /// Creates the instant `nanoseconds` after the clock's start.
    package init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// The current instant.
    package static var now: MonotonicTime {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return MonotonicTime(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
    }

    /// Returns the instant `duration` after this one. A negative duration yields this instant, and one that is too long
    /// yields the last representable instant.
    package func advanced(by duration: Duration) -> MonotonicTime {
        advanced(byNanoseconds: Self.nanoseconds(duration))
    }

    /// Returns the instant `count` nanoseconds after this one, or the last representable instant.
    package func advanced(byNanoseconds count: UInt64) -> MonotonicTime {
        let (end, overflow) = nanoseconds.addingReportingOverflow(count)
        return MonotonicTime(nanoseconds: overflow ? .max : end)
    }

    /// Converts a duration to nanoseconds. A negative duration becomes zero, and one that is too long becomes
    /// `UInt64.max`.
    package static func nanoseconds(_ duration: Duration) -> UInt64 {
        if duration <= .zero { return 0 }
        // A duration may have more seconds than an `Int64` holds.
        let (seconds, attoseconds) = min(duration, .seconds(Int64.max)).components
        let (whole, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow2) = whole.addingReportingOverflow(UInt64(attoseconds) / 1_000_000_000)
        return overflow || overflow2 ? .max : sum
    }

    /// Returns the time from this instant to `other`, or zero if `other` is not later.
    package func duration(to other: MonotonicTime) -> Duration {
        other > self ? .nanoseconds(Int64(clamping: other.nanoseconds - nanoseconds)) : .zero
    }

    /// Returns a Boolean value indicating whether `lhs` is earlier than `rhs`.
    package static func < (lhs: MonotonicTime, rhs: MonotonicTime) -> Bool {
        lhs.nanoseconds < rhs.nanoseconds
    }
}
