import Glibc

/// What a descriptor is watched for, or has become ready for.
package struct DescriptorEvents: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// There is something to read, or the peer is gone: reading tells.
    package static let readable = DescriptorEvents(rawValue: 1)
    /// There is room to write.
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
