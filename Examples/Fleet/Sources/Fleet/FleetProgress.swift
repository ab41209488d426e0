import ShopData

/// The progress of a run of the fleet.
struct FleetProgress: Sendable {
    /// The number of orders to place.
    var total: Int
    var counts: DatabaseSnapshot.Counts
    var figures: LoadGenerator.Figures
    var events: [FleetEvent]
    var elapsed: Duration

    /// The progress on one line. The most important figures come first and fit into 80 columns.
    var line: String {
        let rate = Int(Double(counts.notified) / max(elapsed.seconds, 0.001))
        var line =
            "\(counts.notified)/\(total) orders | \(rate)/s | placed \(counts.placed), confirmed \(counts.confirmed), "
            + "cancelled \(counts.cancelled) | outboxes \(counts.waiting)"
        let down = membersDown
        if !down.isEmpty { line += " | down: \(down.joined(separator: ", "))" }
        return line
    }

    private var membersDown: [String] {
        var down: Set<String> = []
        for event in events {
            if event.kind == .started { down.remove(event.member) } else { down.insert(event.member) }
        }
        return down.sorted()
    }
}
