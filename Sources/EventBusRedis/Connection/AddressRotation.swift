import ConnectionThread

/// The order in which the addresses of a host are tried, and the time for each. It performs no I/O.
///
/// An address may drop everything that is sent to it, so each one gets only its share of the total time. The next
/// attempt begins with the address that worked last, or with the one after the address that failed last.
struct AddressRotation {
    /// The addresses that have not been tried in this attempt.
    private var addresses: ArraySlice<SocketAddress> = []
    /// All addresses of this attempt.
    private var order: ArraySlice<SocketAddress> = []
    /// The address that is being tried, or that is connected.
    private(set) var current: SocketAddress?
    private var deadline = MonotonicTime.now
    /// The address that the next attempt begins with, if the host still has it.
    private var first: SocketAddress?

    /// Returns a Boolean value indicating whether the host had an address when it was last looked up.
    func contains(_ address: SocketAddress) -> Bool { order.contains(address) }

    /// Begins an attempt that ends at `deadline`.
    ///
    /// - Parameter preferred: The address to begin with if the host has it, instead of the one that worked last.
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

    /// Returns the next address to try and the end of its time, or `nil` if no address or no time is left.
    mutating func next(at now: MonotonicTime) -> (address: SocketAddress, until: MonotonicTime)? {
        guard now < deadline else { return nil }
        let share = now.duration(to: deadline) / max(1, addresses.count)
        guard let address = addresses.popFirst() else { return nil }
        current = address
        // If the attempt ends while this address is tried, the next attempt begins with the one after it.
        first = addresses.first ?? order.first
        return (address, addresses.isEmpty ? deadline : now.advanced(by: share))
    }

    /// Makes the next attempt begin with the address after the present one.
    mutating func leaveCurrent() {
        guard let current, let index = order.firstIndex(of: current) else { return }
        let next = order.index(after: index)
        first = next < order.endIndex ? order[next] : order.first
    }

    /// Records that the address being tried is connected.
    mutating func noteSuccess() {
        first = current
    }
}
