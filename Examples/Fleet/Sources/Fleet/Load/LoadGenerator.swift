import Foundation
import FoundationNetworking
import OrderService
import ShopEvents
import Synchronization

/// Places orders over HTTP until all are accepted or it is closed. Each order is sent until it is accepted.
///
/// An order is always sent with the same idempotency key, so that a service that accepted it and was killed before it
/// responded accepts it only once.
public final class LoadGenerator: Sendable {
    /// The figures so far.
    public struct Figures: Sendable {
        /// The services' numbers of the accepted orders, by the original number.
        public var placed: [String: String] = [:]
        /// The response times of the answered requests.
        public var latencies = Latencies()
        /// The response times of requests during an outage.
        public var latenciesInOutage = Latencies()
        /// The number of requests that were sent again, after no response or one that asked to come back later.
        public var retries = 0
        /// The responses with a status of 500 and above, except for 503.
        public var serverErrors: [String] = []
    }

    private struct State {
        var next = 0
        var isClosed = false
        var isOutage = false
        var figures = Figures()
    }

    /// The maximum time for placing one order.
    private static let patience = Duration.seconds(120)

    private let orders: [Order]
    private let client: ServiceClient
    private let concurrency: Int
    private let state = Mutex(State())

    init(orders: [Order], client: ServiceClient, concurrency: Int) {
        self.orders = orders
        self.client = client
        self.concurrency = max(1, concurrency)
    }

    /// The figures so far.
    public var figures: Figures { state.withLock { $0.figures } }

    /// A Boolean value indicating whether it was closed before every order was placed.
    var isInterrupted: Bool { state.withLock { $0.isClosed && $0.next < orders.count } }

    /// A Boolean value indicating whether no more orders are taken from the queue.
    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// Stops taking orders.
    func close() {
        state.withLock { $0.isClosed = true }
    }

    /// Records whether a dependency of the order service is down.
    func setOutage(_ isOutage: Bool) {
        state.withLock { $0.isOutage = isOutage }
    }

    /// Places the orders. Returns when all are accepted, or after a close when the started ones are.
    ///
    /// - Parameters:
    ///   - ports: The ports of the order services, which take orders in turn.
    ///   - pace: The schedule of the orders.
    /// - Throws: ``FleetProblem`` if an order is refused, or not accepted within two minutes.
    func placeAll(at ports: [Int], pace: ArrivalRate) async throws {
        try await withThrowingTaskGroup { group in
            for _ in 0..<concurrency {
                group.addTask {
                    while let (index, order) = self.takeNext() {
                        try await Task.sleep(until: pace.due(index), clock: .continuous)
                        if self.isClosed { return }
                        try await self.place(order, at: ports, first: index)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private func takeNext() -> (Int, Order)? {
        state.withLock { state in
            guard !state.isClosed, state.next < orders.count else { return nil }
            defer { state.next += 1 }
            return (state.next, orders[state.next])
        }
    }

    private func place(_ order: Order, at ports: [Int], first: Int) async throws {
        let body = try JSONEncoder().encode(PlaceOrder(order))
        let key = order.id.asHeaderValue
        var turn = first
        let headers = ["Idempotency-Key": key, "X-Correlation-ID": Self.correlationID(of: order.id)]
        let id = try await wait(atMost: Self.patience, every: .milliseconds(50), for: "taking of order \(order.id)") {
            let answer: Answer
            let isOutage = state.withLock { $0.isOutage }
            let port = ports[turn % ports.count]
            turn += 1
            let start = ContinuousClock.now
            do {
                answer = try await client.send("POST", port: port, "/orders", headers: headers, json: body)
            } catch let error as URLError where error.code != .cancelled {
                state.withLock { $0.figures.retries += 1 }
                return nil as String?
            }
            note(start.duration(to: .now), isOutage: isOutage)
            switch answer.status {
            case 202:
                return try JSONDecoder().decode(PlacedOrder.self, from: answer.body).id
            case 500...:
                state.withLock { state in
                    state.figures.retries += 1
                    if answer.status != 503 {
                        state.figures.serverErrors.append("order \(order.id): \(answer.status) \(answer.text)")
                    }
                }
                return nil
            default:
                throw FleetProblem("order \(order.id) was refused: \(answer.status) \(answer.text)")
            }
        }
        state.withLock { $0.figures.placed[order.id] = id }
    }

    private func note(_ duration: Duration, isOutage: Bool) {
        state.withLock { state in
            state.figures.latencies.record(duration)
            if isOutage { state.figures.latenciesInOutage.record(duration) }
        }
    }

    /// Returns the correlation id of everything that follows from an order.
    static func correlationID(of order: String) -> String { "order-\(order.asHeaderValue)" }
}

/// The body of `POST /orders`.
private struct PlaceOrder: Encodable {
    var customerID: String
    var shipCountry: String
    var items: [OrderLine]

    init(_ order: Order) {
        customerID = order.customerID
        shipCountry = order.shipCountry
        items = order.items
    }
}

/// The relevant part of the response.
private struct PlacedOrder: Decodable {
    var id: String
}

extension String {
    /// The text in printable ASCII, with everything else percent-encoded.
    fileprivate var asHeaderValue: String {
        addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? self
    }
}
