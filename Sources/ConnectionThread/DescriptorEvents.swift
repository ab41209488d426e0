import Glibc

/// The readiness events that a descriptor is watched for, or that occurred.
package struct DescriptorEvents: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// The descriptor is readable, or the peer has closed the connection, which the next read reports.
    package static let readable = DescriptorEvents(rawValue: 1)
    /// The descriptor is writable.
    package static let writable = DescriptorEvents(rawValue: 2)

    init(pollEvents: Int16) {
        var events: DescriptorEvents = []
        if pollEvents & Int16(POLLIN | POLLHUP | POLLERR | POLLNVAL) != 0 { events.insert(.readable) }
        if pollEvents & Int16(POLLOUT) != 0 { events.insert(.writable) }
        self = events
    }

    var pollEvents: Int16 {
        (contains(.readable) ? Int16(POLLIN) : 0) | (contains(.writable) ? Int16(POLLOUT) : 0)
    }
}
