/// The keys that are being computed, their flights and their waiting callers. It reads no clock and resumes no
/// continuation.
///
/// A flight computes one or more keys with one call. A key has at most one flight that can be joined and whose value
/// may be stored, its *current* flight. A flight that was invalidated for a key only continues for the callers that
/// wait for it.
package struct FlightStateMachine {
    package typealias FlightID = UInt64
    package typealias WaiterID = UInt64

    /// One caller's membership in one flight.
    package struct Ticket: Hashable, Sendable {
        package let flight: FlightID
        package let waiter: WaiterID
        /// The keys of the flight that the caller asked for.
        package let keys: [String]
    }

    private struct Flight {
        let keys: [String]
        let type: ObjectIdentifier
        let tags: Set<ExactString>
        let isBackground: Bool
        var waiters: Set<WaiterID> = []
        var sources: [ExactString: Source] = [:]
    }

    /// The origin of a value.
    private struct Source {
        /// The claim in the store under which the value is computed, or `nil` if there is none.
        let claim: String?
        let time: AnyClock.Instant
    }

    private var flights: [FlightID: Flight] = [:]
    private var current: [ExactString: FlightID] = [:]
    private var lastID: UInt64 = 0

    package init() {}

    /// Adds a caller to the flights for `keys`, which has no duplicates. Keys without a flight are started as one
    /// flight.
    package mutating func board(
        _ keys: [String],
        type: ObjectIdentifier,
        tags: Set<String>
    ) -> (tickets: [Ticket], started: (id: FlightID, keys: [String])?) {
        var joined: [FlightID: [String]] = [:]
        for key in keys {
            if let id = joinable(key, type) { joined[id, default: []].append(key) }
        }
        let started = start(keys, type: type, tags: tags, isBackground: false)
        if let started { joined[started.id] = started.keys }
        let tickets = joined.map { id, keys in
            lastID += 1
            flights[id]?.waiters.insert(lastID)
            return Ticket(flight: id, waiter: lastID, keys: keys)
        }
        return (tickets, started)
    }

    /// Starts a flight for those of `keys` that have none. Returns `nil` if all have one.
    package mutating func start(
        _ keys: [String],
        type: ObjectIdentifier,
        tags: Set<String>,
        isBackground: Bool
    ) -> (id: FlightID, keys: [String])? {
        let missing = keys.filter { joinable($0, type) == nil }
        guard !missing.isEmpty else { return nil }
        lastID += 1
        flights[lastID] = Flight(
            keys: missing,
            type: type,
            tags: Set(tags.lazy.map { ExactText($0) }),
            isBackground: isBackground
        )
        for key in missing { current[ExactText(key)] = lastID }
        return (lastID, missing)
    }

    /// Removes a caller from a flight. Returns `true` if the flight has to be cancelled because nobody waits for it any
    /// more.
    package mutating func leave(_ ticket: Ticket) -> Bool {
        guard var flight = flights[ticket.flight], flight.waiters.remove(ticket.waiter) != nil else { return false }
        flights[ticket.flight] = flight
        guard flight.waiters.isEmpty, !flight.isBackground else { return false }
        _ = land(ticket.flight)
        return true
    }

    /// Ends a flight and returns the callers that wait for it, or `nil` if it ended before.
    package mutating func land(_ id: FlightID) -> Set<WaiterID>? {
        guard let flight = flights.removeValue(forKey: id) else { return nil }
        void(flight.keys, of: id)
        return flight.waiters
    }

    /// Returns a Boolean value indicating whether a flight is still running.
    package func isAloft(_ id: FlightID) -> Bool { flights[id] != nil }

    /// Returns a Boolean value indicating whether the value that a flight computed for `key` may be stored.
    package func isCurrent(_ id: FlightID, for key: String) -> Bool { current[ExactText(key)] == id }

    /// Invalidates the computations for `keys`.
    package mutating func void(_ keys: [String]) {
        for key in keys { current[ExactText(key)] = nil }
    }

    /// Invalidates the computations with `tag`.
    package mutating func void(tag: String) {
        for (id, flight) in flights where flight.tags.contains(ExactText(tag)) { void(flight.keys, of: id) }
    }

    /// Records that a flight begins to compute `key` under a claim in the store, or without one, or that it has read the
    /// value.
    package mutating func note(_ claim: String?, of key: String, for id: FlightID, at now: AnyClock.Instant) {
        flights[id]?.sources[ExactText(key)] = Source(claim: claim, time: now)
    }

    /// Invalidates the computation for `key` if it began before `time`, and its claim is not `claim`, which the store had
    /// later. A computation without a claim is invalidated only if `includesUnclaimed` is `true`.
    package mutating func void(
        _ key: String,
        unlessUnder claim: String?,
        since time: AnyClock.Instant,
        includesUnclaimed: Bool
    ) {
        let key = ExactText(key)
        guard let source = current[key].flatMap({ flights[$0]?.sources[key] }), source.time < time else { return }
        if source.claim == nil ? includesUnclaimed : source.claim != claim { current[key] = nil }
    }

    private mutating func void(_ keys: [String], of id: FlightID) {
        for key in keys.lazy.map({ ExactText($0) }) where current[key] == id { current[key] = nil }
    }

    private func joinable(_ key: String, _ type: ObjectIdentifier) -> FlightID? {
        guard let id = current[ExactText(key)], flights[id]?.type == type else { return nil }
        return id
    }
}
