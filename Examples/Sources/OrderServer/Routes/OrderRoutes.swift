import EventBus
import EventBusServiceKit
import HTTPTypes
import Hummingbird
import Metrics
import OrderService

/// The HTTP interface of the order service.
struct OrderRoutes: Sendable {
    private let orders: CachedOrderStore
    private let pricing: Pricing
    private let placed = Counter(label: "shop.orders_placed")

    /// Creates routes for `orders`, which are taken at the prices of `pricing`.
    init(_ orders: CachedOrderStore, pricing: Pricing) {
        self.orders = orders
        self.pricing = pricing
    }

    /// Adds the routes.
    func add(to router: Router<ServiceRequestContext>) {
        router.post("/orders") { request, context in try await place(request, context) }
        router.get("/orders") { request, _ in try await list(request) }
        router.get("/orders/:id") { _, context in try await show(context) }
        router.get("/openapi.json") { _, _ in JSONResponse(OpenAPIDocument.orders) }
    }

    /// Places an order. Responds as soon as the order and its event are stored, whether or not the broker is reachable.
    private func place(_ request: Request, _ context: ServiceRequestContext) async throws -> JSONResponse<OrderView> {
        let key = try idempotencyKey(of: request, from: context.client)
        let draft = try await request.decodeJSON(OrderForm.self, context: context).checked(pricing)
        let placement: Placement
        do {
            placement = try await orders.store.place(draft, correlationID: context.correlationID, key: key)
        } catch is IdempotencyConflict {
            throw HTTPProblem(
                .unprocessableContent,
                "The idempotency key was used for another order",
                detail: "The order that was placed with this key has another content; use a new key."
            )
        }
        if !placement.isReplay { placed.increment() }
        let order = OrderView(placement.record)
        var headers = HTTPFields()
        headers[.location] = "/orders/\(order.id)"
        headers[.idempotencyReplayed] = placement.isReplay ? "true" : nil
        return JSONResponse(order, status: .accepted, headers: headers)
    }

    private func show(_ context: ServiceRequestContext) async throws -> JSONResponse<OrderView> {
        let id = try context.parameters.require("id")
        // An invalid number is not looked up and does not become a key of the cache.
        if OrderID.checked(id) != nil, let order = try await orders.view(of: id) {
            return JSONResponse(order)
        }
        throw HTTPProblem(
            .notFound,
            "No such order",
            detail: "There is no order with this id; the answer to POST /orders holds the id of the one it placed."
        )
    }

    private func list(_ request: Request) async throws -> JSONResponse<OrderPage> {
        let query = try OrderQuery(request.uri.queryParameters)
        return JSONResponse(
            try await orders.store.page(withStatus: query.status, after: query.previous, limit: query.limit)
        )
    }

    private func idempotencyKey(of request: Request, from client: String) throws -> IdempotencyKey? {
        let values = request.headers[values: .idempotencyKey]
        guard let value = values.first else { return nil }
        if values.count == 1, let key = IdempotencyKey(value, client: client) { return key }
        let lengths = IdempotencyKey.lengths
        throw HTTPProblem(
            .badRequest,
            "The idempotency key is not valid",
            detail: "Give one Idempotency-Key of \(lengths.lowerBound) to \(lengths.upperBound) printable ASCII "
                + "characters, such as a UUID, or none.",
            fields: [HTTPProblem.FieldError(field: "Idempotency-Key", problem: "is not 1 to 255 printable characters")]
        )
    }
}

extension HTTPField.Name {
    /// The header with the client's name for a request that has its effect once. See ``IdempotencyKey``.
    static let idempotencyKey = named("Idempotency-Key")
    /// The header that reports, with `true`, that an earlier request with the same key placed the order.
    static let idempotencyReplayed = named("Idempotency-Replayed")

    private static func named(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("\(name) is no name of a header") }
        return name
    }
}
