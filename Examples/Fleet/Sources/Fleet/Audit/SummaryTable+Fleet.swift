public import ShopData

extension SummaryTable {
    /// Creates the table that ends a run of a fleet.
    public init(_ outcome: FleetRun.Outcome, problems: Int) {
        let (report, fleet) = (outcome.report.shop, outcome.report.fleet)
        self.init(report, outcome.audit.shop)
        if problems > 0 { add("lines left out", problems) }
        add("mails", fleet.mails)
        add("events handled", fleet.handled)
        add("  twice", fleet.handledTwice)
        if fleet.kills > 0 { add("killed with -9", fleet.kills) }
        if fleet.stops > 0 { add("stopped", fleet.stops) }
        add("POST /orders answered", fleet.posts)
        add("  sent again", fleet.postRetries)
        add("  p50, ms", fleet.postP50Milliseconds)
        add("  p99, ms", fleet.postP99Milliseconds)
        add("  slowest, ms", fleet.postMaximumMilliseconds)
        if fleet.postsInOutage > 0 {
            add("  without RabbitMQ", fleet.postsInOutage)
            add("    p99, ms", fleet.postInOutageP99Milliseconds)
            add("    slowest, ms", fleet.postInOutageMaximumMilliseconds)
        }
        addPace(of: report)
    }
}
