import EventBus
import Hummingbird
import Logging
import Tracing

@testable import EventBusServiceKit

/// A service with a few routes, for tests of what surrounds them.
enum TestShop {
    struct NewOrder: Codable, Equatable {
        struct Item: Codable, Equatable {
            var sku: String
            var quantity: Int
            var gift: Bool?
        }

        var customerID: String
        var items: [Item]
        var labels: [String: Double]?
    }

    struct Broken: Error {}

    static func addRoutes(to router: Router<ServiceRequestContext>) {
        router.post("orders") { request, context in
            let order = try await request.decodeJSON(NewOrder.self, context: context, limit: 1000)
            context.logger.info("placed")
            return JSONResponse(order, status: .accepted, headers: [.location: "/orders/1"])
        }
        router.get("orders") { _, _ in "[]" }
        router.get("orders/{id}") { _, context in
            let id = try context.parameters.require("id")
            guard id != "0" else { throw HTTPProblem(.notFound, "No such order", detail: "There is no order \(id).") }
            return "\(id) \(context.correlationID)"
        }
        router.get("broken") { _, _ -> String in throw Broken() }
        router.get("unavailable") { _, _ -> String in throw EventBusError(.unavailable, "Redis is away") }
        router.get("teapot") { _, _ -> String in throw HTTPError(.conflict, message: "twice") }
        router.get("trace") { _, _ in ServiceContext.current?.spanIdentity?.traceID ?? "none" }
    }
}
