/// The number of bytes that a relay reads at once, which follows the speed of the connection.
///
/// A read of everything that has room would take longer on a slow connection than the relay may be silent, and would be
/// repeated without an end.
struct ReadingSize: Sendable, Equatable {
    /// The greatest number of bytes.
    static let maximum = 64 << 20

    /// The time that a read should take.
    let target: Duration
    /// The number of bytes after which a read ends. The last event may exceed it, so each read has at least one event.
    private(set) var bytes = maximum

    init(target: Duration) {
        self.target = target
    }

    /// Records that so many bytes were read within a time.
    mutating func noteRead(_ count: Int, within time: Duration) {
        if time > target {
            // A read of little that took long says nothing about the connection.
            guard count >= bytes / 4 else { return }
            bytes = min(bytes, max(1, bytes / 4, Int(Double(count) * (target / time))))
        } else if time * 2 < target, count > bytes / 2 {
            bytes = min(Self.maximum, bytes * 2)
        }
    }

    /// Records that a read failed, perhaps because it took too long.
    mutating func noteFailure() {
        bytes = max(1, bytes / 4)
    }
}
