import DequeModule

/// The outstanding deliveries of a channel, which are acknowledged with as few messages as possible. It is a plain data
/// structure.
///
/// "All up to this one" is used only if every earlier delivery is acknowledged. It is then safe, because it affects no
/// outstanding delivery.
struct AckTracker {
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

    /// The number of outstanding deliveries.
    private(set) var outstanding = 0

    /// Records a delivery. Tags increase one by one.
    mutating func delivered(_ tag: UInt64) {
        if states.isEmpty { firstTag = tag }
        // The peer's numbers are not trusted to increase one by one, nor to be small.
        guard tag >= firstTag, tag - firstTag >= UInt64(states.count),
            tag - firstTag < UInt64(states.count) + 65_536
        else { return }
        while UInt64(states.count) < tag - firstTag { states.append(.gone) }
        states.append(.out)
        outstanding += 1
    }

    /// Records that a delivery was handled. Returns `true` if it was outstanding.
    mutating func acknowledge(_ tag: UInt64) -> Bool {
        guard settle(tag, as: .acknowledged) else { return false }
        unsent.append(tag)
        return true
    }

    /// Records that a delivery was settled in another way. Returns `true` if it was outstanding.
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

    /// Returns the acknowledgements for the deliveries that were handled since the last call.
    mutating func flush() -> [Acknowledgement] {
        guard !unsent.isEmpty else { return [] }
        defer { unsent.removeAll(keepingCapacity: true) }
        while let first = states.first, first != .out {
            states.removeFirst()
            // Cannot overflow into a valid tag, because nothing is outstanding beyond `UInt64.max`.
            firstTag &+= 1
        }
        // The broker closes the channel for a tag that it no longer knows, so the named tag is a recent one.
        guard let upTo = unsent.filter({ $0 < firstTag }).max() else {
            return unsent.map { Acknowledgement(tag: $0, multiple: false) }
        }
        let rest = unsent.filter { $0 > upTo }
        let isSingle = unsent.count - rest.count == 1
        return [Acknowledgement(tag: upTo, multiple: !isSingle)]
            + rest.map { Acknowledgement(tag: $0, multiple: false) }
    }
}
