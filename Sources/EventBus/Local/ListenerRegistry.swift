/// The registered listeners. It is a plain data structure: the emitter guards it and acts on its results.
struct ListenerRegistry: Sendable {
    private enum Place {
        case type(ObjectIdentifier)
        case pattern(TopicPattern)
    }

    private struct Record {
        var place: Place
        var mailbox: (any ClosableMailbox)?
    }

    private struct ErasedListener {
        var id: UInt64
        /// The `Listener` of the type under which it is stored.
        var listener: any Sendable
    }

    private var records: [UInt64: Record] = [:]
    private var typed: [ObjectIdentifier: [ErasedListener]] = [:]
    private var patterns = TopicTrie<Listener<LocalEvent>>()

    /// The `ListenerList` of each event type that was requested since a registration last affected it.
    private(set) var resolved: [ObjectIdentifier: any AnyObject & Sendable] = [:]

    /// A bit mask with a bit for each type that has typed listeners, or all bits if there are patterns. A clear bit
    /// proves that nobody listens.
    private(set) var interest: UInt64 = 0

    var count: Int { records.count }

    mutating func add<E: Event>(_ listener: Listener<E>, mailbox: (any ClosableMailbox)?) {
        let type = ObjectIdentifier(E.self)
        let id = listener.token.id
        records[id] = Record(place: .type(type), mailbox: mailbox)
        typed[type, default: []].append(ErasedListener(id: id, listener: listener))
        resolved[type] = nil
        interest |= LocalEmitter.interestBit(of: type)
    }

    mutating func add(_ listener: Listener<LocalEvent>, for pattern: TopicPattern, mailbox: (any ClosableMailbox)?) {
        records[listener.token.id] = Record(place: .pattern(pattern), mailbox: mailbox)
        patterns.insert(listener, for: pattern)
        resolved = [:]
        interest = ~0
    }

    /// The removed objects, which have to be released outside the lock because that may run deinitializers of users.
    struct Removed: Sendable {
        var mailbox: (any ClosableMailbox)?
        fileprivate var listener: (any Sendable)?
        fileprivate var lists: [any AnyObject & Sendable] = []
    }

    /// Removes the listener, if it exists.
    mutating func remove(_ id: UInt64) -> Removed {
        guard let record = records.removeValue(forKey: id) else { return Removed() }
        var removed = Removed(mailbox: record.mailbox)
        switch record.place {
        case .type(let type):
            if let index = typed[type]?.firstIndex(where: { $0.id == id }) {
                removed.listener = typed[type]?.remove(at: index)
            }
            if typed[type]?.isEmpty == true { typed[type] = nil }
            if let list = resolved.removeValue(forKey: type) { removed.lists = [list] }
        case .pattern(let pattern):
            patterns.remove(for: pattern) { candidate in
                if candidate.token.id != id { return false }
                removed.listener = candidate
                return true
            }
            removed.lists = Array(resolved.values)
            resolved = [:]
        }
        if patterns.count == 0 {
            interest = typed.keys.reduce(0) { $0 | LocalEmitter.interestBit(of: $1) }
        }
        return removed
    }

    var mailboxes: [any ClosableMailbox] { records.values.compactMap(\.mailbox) }

    /// Returns the listeners for `E` from the cache or resolved and then cached.
    ///
    /// - Parameter topic: The topic of the type, or `nil` if each event has its own. Then every pattern listener is in
    ///   the list, and compares the topic.
    mutating func resolve<E: Event>(
        _ type: E.Type,
        topic: Topic?,
        reporter: FailureReporter,
        codec: LocalEvent.Codec?
    ) -> ListenerList<E> {
        let key = ObjectIdentifier(type)
        if let list = resolved[key] as? ListenerList<E> { return list }
        let list = ListenerList(
            typed: (typed[key] ?? []).compactMap { $0.listener as? Listener<E> },
            patterns: (topic.map { patterns.values(matching: $0) } ?? comparingListeners())
                .sorted { $0.token.id < $1.token.id },
            reporter: reporter,
            codec: codec
        )
        resolved[key] = list
        return list
    }

    /// Returns all pattern listeners, each of which ignores events whose topic does not match.
    private func comparingListeners() -> [Listener<LocalEvent>] {
        patterns.allValues.compactMap { listener in
            guard case .pattern(let pattern)? = records[listener.token.id]?.place else { return nil }
            return listener.filtered { pattern.matches($0.topic) }
        }
    }
}
