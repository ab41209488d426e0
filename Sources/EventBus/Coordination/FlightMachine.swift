/// Which keys are being computed, by which flight, for whom: no clock, no continuation.
///
/// A flight computes one or more keys with one call. A key has at most one flight that can be joined and may store what
/// it computed, its *current* one; a flight that was voided for a key goes on for those who wait for it, no more.
package struct FlightMachine {
    package typealias FlightID = UInt64
    package typealias WaiterID = UInt64

    /// One caller's place on one flight.
    package struct Ticket: Hashable, Sendable {
        package let flight: FlightID
        package let waiter: WaiterID
        /// What of the flight the caller asked for.
        package let keys: [String]
    }

    private struct Flight {
        let keys: [String]
        let type: ObjectIdentifier
        let tags: Set<ExactString>
        let isBackground: Bool
        var waiters: Set<WaiterID> = []
    }

    private var flights: [FlightID: Flight] = [:]
    private var current: [ExactString: FlightID] = [:]
    private var lastID: UInt64 = 0

    package init() {}

    /// Puts a caller on the flights for `keys`, each key once; those that have none are started as one flight.
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

    /// Starts a flight for those of `keys` that have none; `nil` if all have one.
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

    /// Takes a caller off a flight; true if the flight is to be cancelled, since nobody wants it any more.
    package mutating func leave(_ ticket: Ticket) -> Bool {
        guard var flight = flights[ticket.flight], flight.waiters.remove(ticket.waiter) != nil else { return false }
        flights[ticket.flight] = flight
        guard flight.waiters.isEmpty, !flight.isBackground else { return false }
        _ = land(ticket.flight)
        return true
    }

    /// Ends a flight and returns who waits for it; `nil` if it has ended before.
    package mutating func land(_ id: FlightID) -> Set<WaiterID>? {
        guard let flight = flights.removeValue(forKey: id) else { return nil }
        void(flight.keys, of: id)
        return flight.waiters
    }

    /// Whether a flight has not ended.
    package func isAloft(_ id: FlightID) -> Bool { flights[id] != nil }

    /// Whether what a flight computed for `key` may be stored.
    package func isCurrent(_ id: FlightID, for key: String) -> Bool { current[ExactText(key)] == id }

    /// Voids what is being computed for `keys`.
    package mutating func void(_ keys: [String]) {
        for key in keys { current[ExactText(key)] = nil }
    }

    /// Voids what is being computed with `tag`.
    package mutating func void(tag: String) {
        for (id, flight) in flights where flight.tags.contains(ExactText(tag)) { void(flight.keys, of: id) }
    }

    private mutating func void(_ keys: [String], of id: FlightID) {
        for key in keys.lazy.map({ ExactText($0) }) where current[key] == id { current[key] = nil }
    }

    private func joinable(_ key: String, _ type: ObjectIdentifier) -> FlightID? {
        guard let id = current[ExactText(key)], flights[id]?.type == type else { return nil }
        return id
    }
}
