import DequeModule

/// Which deliveries of a channel are out, and how few acknowledgements say what was settled. Pure.
///
/// "All up to this one" is said only where every earlier delivery is acknowledged: safe, since it speaks of nothing
/// that is still out.
struct AckLedger {
    /// One acknowledgement to send.
    struct Acknowledgement: Hashable {
        var tag: UInt64
        var multiple: Bool
    }

    private enum State {
        case out
        case acknowledged
        case gone
    }

    private var states = Deque<State>()
    private var firstTag: UInt64 = 1
    private var unsent: [UInt64] = []

    /// How many deliveries are out.
    private(set) var outstanding = 0

    /// Notes a delivery; tags rise one by one.
    mutating func delivered(_ tag: UInt64) {
        if states.isEmpty { firstTag = tag }
        // The peer's numbers are not trusted to rise one by one, nor to be small.
        guard tag >= firstTag, tag - firstTag >= UInt64(states.count),
            tag - firstTag < UInt64(states.count) + 65_536
        else { return }
        while UInt64(states.count) < tag - firstTag { states.append(.gone) }
        states.append(.out)
        outstanding += 1
    }

    /// Notes that a delivery was handled. Returns whether it was out.
    mutating func acknowledge(_ tag: UInt64) -> Bool {
        guard settle(tag, as: .acknowledged) else { return false }
        unsent.append(tag)
        return true
    }

    /// Notes that a delivery was settled otherwise. Returns whether it was out.
    mutating func remove(_ tag: UInt64) -> Bool {
        settle(tag, as: .gone)
    }

    private mutating func settle(_ tag: UInt64, as state: State) -> Bool {
        guard tag >= firstTag, tag - firstTag < UInt64(states.count) else { return false }
        let index = Int(tag - firstTag)
        guard states[index] == .out else { return false }
        states[index] = state
        outstanding -= 1
        return true
    }

    /// The acknowledgements for what was handled since the last call.
    mutating func flush() -> [Acknowledgement] {
        guard !unsent.isEmpty else { return [] }
        defer { unsent.removeAll(keepingCapacity: true) }
        while let first = states.first, first != .out {
            states.removeFirst()
            // Behind the greatest number there is comes none that is out.
            firstTag &+= 1
        }
        // The broker closes the channel on a tag that it no longer knows, so the tag that is named is a fresh one.
        guard let upTo = unsent.filter({ $0 < firstTag }).max() else {
            return unsent.map { Acknowledgement(tag: $0, multiple: false) }
        }
        let rest = unsent.filter { $0 > upTo }
        let isSingle = unsent.count - rest.count == 1
        return [Acknowledgement(tag: upTo, multiple: !isSingle)]
            + rest.map { Acknowledgement(tag: $0, multiple: false) }
    }
}
