import ConnectionThread

/// In which order the addresses of a host are tried, and for how long each: no I/O.
///
/// An address may swallow everything that is sent to it, so each gets only its share of the time for all of them. The
/// next attempt begins with the address that worked last, or with the one after that which failed last.
struct AddressLine {
    /// Not tried yet in this attempt.
    private var addresses: ArraySlice<SocketAddress> = []
    /// All of this attempt.
    private var order: ArraySlice<SocketAddress> = []
    /// The address that is being tried, or serves.
    private(set) var current: SocketAddress?
    private var deadline = MonotonicTime.now
    /// What the next attempt begins with, if the host still has it.
    private var first: SocketAddress?

    /// Whether the host had an address when it was looked up last.
    func contains(_ address: SocketAddress) -> Bool { order.contains(address) }

    /// Begins an attempt that is over at `deadline`.
    ///
    /// - Parameter preferred: what it begins with, if the host has it, instead of the address that worked last.
    mutating func begin(
        _ addresses: [SocketAddress],
        preferring preferred: SocketAddress? = nil,
        until deadline: MonotonicTime
    ) {
        self.deadline = deadline
        current = nil
        let start =
            preferred.flatMap { addresses.firstIndex(of: $0) } ?? first.flatMap { addresses.firstIndex(of: $0) } ?? 0
        self.addresses = (addresses[start...] + addresses[..<start])[...]
        order = self.addresses
    }

    /// The next address to try, and until when; `nil` if there is none, or no time.
    mutating func next(at now: MonotonicTime) -> (address: SocketAddress, until: MonotonicTime)? {
        guard now < deadline else { return nil }
        let share = now.duration(to: deadline) / max(1, addresses.count)
        guard let address = addresses.popFirst() else { return nil }
        current = address
        // Should the attempt end while this one is tried, the next attempt begins behind it.
        first = addresses.first ?? order.first
        return (address, addresses.isEmpty ? deadline : now.advanced(by: share))
    }

    /// The address that is being tried serves.
    mutating func noteSuccess() {
        first = current
    }
}
