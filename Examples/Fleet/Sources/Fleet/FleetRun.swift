import EventStory
import Foundation
import InventoryService
import OrderService
public import ShopData
public import TerminalText

/// One run of the distributed shop: it places orders over HTTP, disturbs the fleet, and audits the books.
public struct FleetRun: Sendable {
    /// The outcome of a run.
    public struct Outcome: Sendable {
        /// The figures.
        public var report: FleetReport
        /// The books.
        public var audit: FleetAudit
        /// A Boolean value indicating whether order placement was closed before all orders were placed.
        public var isInterrupted: Bool
        /// The stories of the orders.
        public var stories: StoryBook
        /// The events of the disturbance.
        public var events: [FleetEvent]
    }

    /// The maximum time without progress.
    private static let patience = Duration.seconds(120)

    private let fleet: Fleet
    private let input: ShopInput
    private let disturbance: Disturbance
    private let rate: Double?
    private let till: LoadGenerator
    private let display: ProgressDisplay?

    /// Creates a run.
    ///
    /// - Parameters:
    ///   - fleet: A fleet that is ready and empty.
    ///   - input: The orders to place, and the stock.
    ///   - disturbance: The disturbance of the fleet during the run.
    ///   - rate: The number of orders per second. Defaults to the maximum, or to a rate at which the disturbance fits
    ///     into the run.
    ///   - concurrency: The number of orders that are placed concurrently.
    ///   - display: The display of the progress.
    public init(
        fleet: Fleet,
        input: ShopInput,
        disturbance: Disturbance = .none,
        rate: Double? = nil,
        concurrency: Int = 16,
        reporting display: ProgressDisplay? = nil
    ) {
        self.fleet = fleet
        self.input = input
        self.disturbance = disturbance
        let window = disturbance.defaultWindow?.seconds
        self.rate = rate ?? window.map { max(0.001, Double(input.orders.count) / $0) }
        self.display = display
        till = LoadGenerator(orders: input.orders, client: fleet.client, concurrency: concurrency)
    }

    /// Stops placing orders. Placed orders are completed.
    public func close() {
        till.close()
    }

    /// Stocks up, places every order, waits until all work is done, stops the services, and audits the books.
    ///
    /// - Throws: ``FleetProblem`` if there is no progress for two minutes, or if a service ends unexpectedly.
    public func run() async throws -> Outcome {
        try await stockUp()
        let books = try DatabaseSnapshot(fleet)
        let start = ContinuousClock.now
        let disturber = FaultRunner(fleet, till: till, start: start, reporting: display)
        try await withThrowingTaskGroup { group in
            group.addTask { try await watch(books, disturber, since: start) }
            try await placeAll(disturber, start: start)
            try await settle(books)
            group.cancelAll()
        }
        let elapsed = start.duration(to: .now)
        let queues = try await emptyQueues()
        let problems = await fleet.unexpectedEnds()
        let exits = try await fleet.stopServices()
        return try await outcome(
            books,
            disturber,
            queues: queues,
            problems: problems + disturber.badExits + exits,
            after: elapsed
        )
    }

    private func stockUp() async throws {
        let port = await fleet[.inventory].port
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, item) in input.stock.enumerated() {
                if index >= 8 { try await group.next() }
                group.addTask {
                    let path = item.sku.addingPercentEncoding(withAllowedCharacters: .urlPathComponentAllowed) ?? ""
                    let body = Restock(quantity: item.quantity, name: item.name, unitPrice: "\(item.unitPrice)")
                    let json = try JSONEncoder().encode(body)
                    let answer = try await fleet.client.send("PUT", port: port, "/stock/\(path)", json: json)
                    guard answer.status == 201 else {
                        throw FleetProblem("stock of \(item.sku) was refused: \(answer.status) \(answer.text)")
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private func placeAll(_ disturber: FaultRunner, start: ContinuousClock.Instant) async throws {
        let window = rate.map { Duration.seconds(Double(input.orders.count) / $0) } ?? .zero
        let ports = await fleet.ports(of: .orders)
        try await withThrowingTaskGroup { group in
            group.addTask { try await till.placeAll(at: ports, pace: ArrivalRate(rate: rate, start: start)) }
            group.addTask { try await disturber.run(disturbance, within: window) }
            try await group.waitForAll()
        }
    }

    /// Waits until every accepted order has an outcome and a notification, and all events are published.
    private func settle(_ books: DatabaseSnapshot) async throws {
        var (last, since) = (try await books.counts(), ContinuousClock.now)
        while true {
            let counts = try await books.counts()
            let isDone =
                counts.confirmed + counts.cancelled == counts.placed && counts.notified == counts.placed
                && counts.waiting == 0
            if isDone { return }
            if counts != last { (last, since) = (counts, .now) }
            if since.duration(to: .now) > Self.patience {
                throw FleetProblem(
                    """
                    nothing has happened for \(Self.patience): of \(counts.placed) orders \
                    \(counts.confirmed + counts.cancelled) have an outcome and \(counts.notified) a notification; \
                    \(counts.waiting) events wait in outboxes, \(counts.parked) were given up. \
                    \(try await books.unfinished()) See the logs in \(fleet.directory)
                    """
                )
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Returns the queues when they contain only dead letters, or their state after half a minute.
    private func emptyQueues() async throws -> [Brokers.Queue] {
        let end = ContinuousClock.now + .seconds(30)
        while true {
            let queues = try await fleet.brokers.queues(virtualHost: fleet.virtualHost)
            let isEmpty = queues.allSatisfy { $0.messages == 0 || $0.name.hasSuffix(".dead") }
            if isEmpty || ContinuousClock.now > end { return queues }
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    /// Shows progress, and ends the run if a service stops working.
    private func watch(_ books: DatabaseSnapshot, _ disturber: FaultRunner, since start: ContinuousClock.Instant)
        async throws
    {
        let interval = display?.interval ?? .milliseconds(500)
        while !Task.isCancelled {
            if let end = await fleet.unexpectedEnds().first { throw FleetProblem(end) }
            if let display {
                let progress = FleetProgress(
                    total: input.orders.count,
                    counts: try await books.counts(),
                    figures: till.figures,
                    events: disturber.events,
                    elapsed: start.duration(to: .now)
                )
                display.show(progress.line)
            }
            guard (try? await Task.sleep(for: interval)) != nil else { return }
        }
    }

    private func outcome(
        _ books: DatabaseSnapshot,
        _ disturber: FaultRunner,
        queues: [Brokers.Queue],
        problems: [String],
        after elapsed: Duration
    ) async throws -> Outcome {
        let (figures, events) = (till.figures, disturber.events)
        let handlings = HandlingLog(fleet.services)
        let spans = try Span.all(of: fleet.services)
        let evidence = FleetAudit.Evidence(
            input: input,
            figures: figures,
            isInterrupted: till.isInterrupted,
            disturbance: disturbance,
            events: events,
            handlings: handlings,
            queues: queues,
            problems: problems
        )
        let audit = try await FleetAudit(books, evidence)
        let stories = StoryBook(spans, events: events, orders: input.orders.lazy.map(\.id))
        let shop = ShopReport(
            audit.shop,
            retries: spans.count { $0.isProcessing && ($0.attempt ?? 1) > 1 },
            duplicatesSuppressed: handlings.duplicatesSuppressed,
            elapsed: elapsed
        )
        let figuresOfFleet = FleetReport.Figures(
            audit,
            figures,
            disturbance: disturbance,
            events: events,
            stories: stories
        )
        return Outcome(
            report: FleetReport(shop: shop, fleet: figuresOfFleet),
            audit: audit,
            isInterrupted: till.isInterrupted,
            stories: stories,
            events: events
        )
    }
}

/// The body of `PUT /stock/{sku}`.
private struct Restock: Encodable {
    var quantity: Int
    var name: String
    var unitPrice: String
}

extension CharacterSet {
    /// The characters that need no encoding between two slashes of a path.
    fileprivate static let urlPathComponentAllowed = CharacterSet.urlPathAllowed.subtracting(["/"])
}
