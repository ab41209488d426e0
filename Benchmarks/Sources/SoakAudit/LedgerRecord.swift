import Glibc

/// An entry of a worker's ledger: 32 bytes that one call of `write` appends, so that they survive a kill of the process.
package struct LedgerRecord: Hashable, Sendable {
    /// The kind of an entry.
    package enum Kind: UInt8, Sendable {
        /// A process began. ``extra`` is its process id.
        case started = 1
        /// A process ended in order.
        case ended
        /// A connection to the broker was lost, or a consumer was detached from its queue.
        case disconnected

        /// A publish began.
        case attempted
        /// The broker has the event.
        case confirmed
        /// The broker has no queue for the event.
        case unroutable
        /// The broker does not have the event.
        case refused
        /// The broker may have the event.
        case unknown

        /// A handler began. ``extra`` is the serial number of the call, and ``code`` the attempt.
        case delivered
        /// A handler's effect took place.
        case effect
        /// A handler failed.
        case failed
        /// An event arrived with other contents than it was published with.
        case corrupt
        /// A delivery was acknowledged.
        case acknowledged
        /// A delivery was retried, dead-lettered or returned to the broker.
        case settled

        /// A lock was requested. ``number`` is the resource, and ``code`` the task.
        case lockRequested
        /// A lock was granted. ``extra`` is its fencing token.
        case lockAcquired
        /// The work under a lock ended. ``extra`` is its fencing token.
        case lockReleased
        /// A lock was not granted, or lost.
        case lockFailed
    }

    /// The size of an entry in bytes.
    package static let size = 32

    /// The time in nanoseconds, of the clock that all processes of the machine share.
    package var time: UInt64
    /// The kind.
    package var kind: Kind
    /// The number of the event or of the locked resource.
    package var number: UInt64
    /// A value that depends on the kind.
    package var extra: UInt64
    /// A small value that depends on the kind.
    package var code: UInt8

    /// Creates an entry.
    package init(time: UInt64, kind: Kind, number: UInt64 = 0, extra: UInt64 = 0, code: UInt8 = 0) {
        self.time = time
        self.kind = kind
        self.number = number
        self.extra = extra
        self.code = code
    }

    /// The entry's representation in a file.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Self.size)
        for value in [time, number, extra, UInt64(kind.rawValue) | UInt64(code) << 8] {
            for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * UInt64(shift)))) }
        }
        return bytes
    }

    /// Reads the entry that begins at `offset`, or returns `nil` if there is none.
    package init?(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        guard offset + Self.size <= bytes.count else { return nil }
        func value(_ index: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + index * 8, as: UInt64.self))
        }
        let last = value(3)
        guard let kind = Kind(rawValue: UInt8(truncatingIfNeeded: last)) else { return nil }
        self.init(
            time: value(0),
            kind: kind,
            number: value(1),
            extra: value(2),
            code: UInt8(truncatingIfNeeded: last >> 8)
        )
    }

    /// The present time of the machine's monotonic clock in nanoseconds.
    package static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
