import EventBus
import EventBusServiceKit
import GRDB
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import OrderService
import ServiceTestKit
import ShopEvents
import Testing

@testable import OrderServer

@Suite("The HTTP routes of the order service", .timeLimit(.minutes(2)))
struct OrderRoutesTests {
    private static let body = """
        {"customerID": "VINET", "shipCountry": "France",
         "items": [{"sku": "NW-011", "quantity": 12, "unitPrice": "14.00", "discount": "0.15"}]}
        """

    /// Runs a test against the routes, on a bus that does not run because none of them needs a broker.
    private func test(
        _ scene: Scene,
        pricing: Pricing = .clients,
        access: HTTPAccess = .open,
        _ body: @Sendable (any TestClientProtocol) async throws -> Void
    ) async throws {
        let router = Router.service(
            access: access,
            publicPaths: ["/openapi.json"],
            routes: OrderRoutes(scene.orders, pricing: pricing).add
        )
        try await Application(router: router, logger: .quiet).test(.router, body)
    }

    private func post(
        _ client: any TestClientProtocol,
        _ body: String = body,
        key: String? = nil,
        type: String = "application/json",
        token: String? = nil
    ) async throws -> TestResponse {
        var headers: HTTPFields = [.contentType: type]
        if let token { headers[.authorization] = "Bearer \(token)" }
        if let key { headers[.idempotencyKey] = key }
        return try await client.execute(
            uri: "/orders",
            method: .post,
            headers: headers,
            body: ByteBuffer(string: body)
        )
    }

    @Test("An order is accepted without a broker, and can be read at the returned location")
    func placing() async throws {
        let scene = try Scene()
        try await test(scene) { client in
            let response = try await post(client)
            #expect(response.status == .accepted)
            #expect(response.headers[.contentType] == "application/json")
            #expect(response.headers[.idempotencyReplayed] == nil)
            let placed = try response.decode(OrderView.self)
            #expect(placed.status == .placed)
            #expect(placed.customerID == "VINET")
            #expect(placed.total == Money(cents: 14_280))
            #expect(placed.history.map(\.status) == [.placed])
            let location = try #require(response.headers[.location])
            #expect(location == "/orders/\(placed.id)")
            let shown = try await client.get(location)
            #expect(shown.status == .ok)
            #expect(try shown.decode(OrderView.self) == placed)
            #expect(try await scene.database.outbox().map(\.correlationID) == [placed.correlationID])
        }
    }

    @Test("The response to an invalid order names the invalid fields, and the order is not stored")
    func invalid() async throws {
        let scene = try Scene()
        try await test(scene) { client in
            let response = try await post(
                client,
                #"{"customerID": "V", "shipCountry": "F", "items": [{"sku": "A", "quantity": 0, "unitPrice": "1"}]}"#
            )
            #expect(response.status == .badRequest)
            #expect(response.headers[.contentType] == "application/problem+json")
            let problem = try response.decode(ProblemDocument.self)
            #expect(problem.status == 400)
            #expect(
                problem.errors == [
                    .init(field: "items[0].quantity", problem: "has to be a whole number from 1 to 1000000")
                ]
            )
            #expect(try await post(client, "{").status == .badRequest)
            #expect(try await post(client, "").status == .badRequest)
            #expect(try await post(client, type: "text/plain").status == .unsupportedMediaType)
            let large = #"{"customerID": ""# + String(repeating: "a", count: 1 << 20) + #""}"#
            #expect(try await post(client, large).status == .contentTooLarge)
        }
        #expect(try await scene.database.count(of: "orders") == 0)
    }

    @Test("A hundred equal requests with one key get the same response")
    func idempotency() async throws {
        let scene = try Scene()
        try await test(scene) { client in
            let responses = try await withThrowingTaskGroup(of: TestResponse.self) { group in
                for _ in 0..<100 { group.addTask { try await post(client, key: "key 1") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(responses.allSatisfy { $0.status == .accepted })
            #expect(Set(try responses.map { try $0.decode(OrderView.self) }).count == 1)
            #expect(responses.count { $0.headers[.idempotencyReplayed] == "true" } == 99)
            // The same order in another spelling is the same order.
            let same = Self.body.replacing("\"14.00\"", with: "\"14\"").replacing("\n", with: "")
            #expect(try await post(client, same, key: "key 1").status == .accepted)
            let other = try await post(client, Self.body.replacing("France", with: "Spain"), key: "key 1")
            #expect(other.status == .unprocessableContent)
            #expect(try other.decode(ProblemDocument.self).detail?.contains("use a new key") == true)
        }
        #expect(try await scene.database.count(of: "orders") == 1)
    }

    @Test("An invalid key is refused, and so are two keys")
    func invalidKey() async throws {
        let scene = try Scene()
        try await test(scene) { client in
            for key in ["", String(repeating: "a", count: 256), "schlüssel"] {
                let response = try await post(client, key: key)
                #expect(response.status == .badRequest, "\(key)")
                #expect(try response.decode(ProblemDocument.self).errors?.map(\.field) == ["Idempotency-Key"])
            }
            var headers: HTTPFields = [.contentType: "application/json"]
            headers[values: .idempotencyKey] = ["a", "b"]
            let body = ByteBuffer(string: Self.body)
            let response = try await client.execute(uri: "/orders", method: .post, headers: headers, body: body)
            #expect(response.status == .badRequest)
        }
    }

    @Test func `clients with the same key place different orders, and learn nothing of each other's`() async throws {
        let scene = try Scene()
        let (till, shop) = (String(repeating: "t", count: 16), String(repeating: "s", count: 16))
        try await test(scene, access: try HTTPAccess(tokens: "till:\(till),shop:\(shop)")) { client in
            let first = try await post(client, key: "1", token: till).decode(OrderView.self)
            let other = try await post(client, Self.body.replacing("France", with: "Spain"), key: "1", token: shop)
            #expect(other.status == .accepted)
            #expect(try other.decode(OrderView.self).id != first.id)
            #expect(try await post(client, key: "1", token: till).decode(OrderView.self).id == first.id)
            let conflict = try await post(client, Self.body.replacing("12", with: "13"), key: "1", token: till)
            #expect(conflict.status == .unprocessableContent)
            #expect(!String(buffer: conflict.body).contains(first.id))
            #expect(try await post(client, key: "1").status == .unauthorized)
            #expect(try await client.get("/orders").status == .unauthorized)
            #expect(try await client.get("/openapi.json").status == .ok)
        }
        #expect(try await scene.database.count(of: "orders") == 2)
    }

    @Test func `with a price list, orders are taken at its prices or refused`() async throws {
        let scene = try Scene()
        try await test(scene, pricing: .list(["NW-011": Money(cents: 2100)])) { client in
            func order(_ line: String) -> String {
                #"{"customerID": "V", "shipCountry": "F", "items": [{"sku": "NW-011", "quantity": 2\#(line)}]}"#
            }
            for line in ["", #", "unitPrice": "21.00""#, #", "unitPrice": "21", "discount": "0""#] {
                let placed = try await post(client, order(line))
                #expect(placed.status == .accepted, "\(line)")
                #expect(try placed.decode(OrderView.self).total == Money(cents: 4200))
            }
            for (line, field) in [
                (#", "unitPrice": "0.01""#, "unitPrice"), (#", "unitPrice": "22.00""#, "unitPrice"),
                (#", "discount": "1""#, "discount"), (#", "unitPrice": "21.00", "discount": "0.0001""#, "discount"),
            ] {
                let refused = try await post(client, order(line))
                #expect(refused.status == .badRequest, "\(line)")
                #expect(try refused.decode(ProblemDocument.self).errors?.map(\.field) == ["items[0].\(field)"])
            }
            let unknown = try await post(client, order("").replacing("NW-011", with: "NW-012"))
            #expect(try unknown.decode(ProblemDocument.self).errors?.map(\.field) == ["items[0].sku"])
        }
        #expect(try await scene.database.count(of: "orders") == 3)
    }

    @Test("A missing order is not found, and that is not cached")
    func notFound() async throws {
        let scene = try Scene()
        let order = try OrderDraft.sample().placed(at: .now())
        try await test(scene) { client in
            let uri = "/orders/\(order.id)"
            let response = try await client.get(uri)
            #expect(response.status == .notFound)
            #expect(response.headers[.contentType] == "application/problem+json")
            _ = try await scene.store.insert(order)
            #expect(try await client.get(uri).status == .ok)
            #expect(try await client.get("/orders/" + String(repeating: "a", count: 101)).status == .notFound)
        }
    }

    @Test("Responses come from the cache until the order's status changes")
    func caching() async throws {
        let scene = try Scene()
        try await test(scene) { client in
            let id = try await post(client).decode(OrderView.self).id
            #expect(try await client.get("/orders/\(id)").decode(OrderView.self).status == .placed)
            try await scene.database.execute("UPDATE orders SET customer_id = 'changed behind the back'")
            #expect(try await client.get("/orders/\(id)").decode(OrderView.self).customerID == "VINET")
            let end = OrderStatus.cancelled(.outOfStock, skus: ["NW-011"])
            _ = try await scene.orders.end(id, as: end, handling: nil)
            let shown = try await client.get("/orders/\(id)").decode(OrderView.self)
            #expect(shown.status == .cancelled)
            #expect(shown.reason == .outOfStock)
            #expect(shown.skus == ["NW-011"])
            #expect(shown.history.map(\.status) == [.placed, .cancelled])
        }
    }

    @Test("Lists are paged by the previous page, and an invalid query is refused")
    func listing() async throws {
        let scene = try Scene()
        try await test(scene) { client in
            for _ in 0..<3 { _ = try await post(client) }
            let first = try await client.get("/orders?status=placed&limit=2").decode(OrderPage.self)
            #expect(first.orders.count == 2)
            #expect(first.orders.first?.total == Money(cents: 14_280))
            let next = try #require(first.next)
            let second = try await client.get("/orders?limit=2&after=\(next)").decode(OrderPage.self)
            #expect(second.orders.count == 1)
            #expect(second.next == nil)
            #expect(try await client.get("/orders?status=cancelled").decode(OrderPage.self).orders == [])
            let encoded = next.replacing("-", with: "%2D")
            #expect(try await client.get("/orders?after=\(encoded)").decode(OrderPage.self).orders.count == 1)
            #expect(try await client.get("/orders?after=%00").status == .badRequest)
            let wrong = try await client.get("/orders?status=lost&limit=0")
            #expect(wrong.status == .badRequest)
            #expect(try wrong.decode(ProblemDocument.self).errors?.map(\.field) == ["status", "limit"])
        }
    }

    @Test("If another process locks the database, the response is 503, and the order can be placed later")
    func busyDatabase() async throws {
        let file = try DatabaseFile()
        let scene = try Scene(database: file.open(timeout: 0.05))
        let other = try file.open()
        try await test(scene) { client in
            let response = try await whileLocked(other) { try await post(client, key: "key") }
            #expect(response.status == .serviceUnavailable)
            #expect(response.headers[.contentType] == "application/problem+json")
            #expect(try await post(client, key: "key").status == .accepted)
        }
    }

    @Test("An unexpected error is a 500 that reveals nothing")
    func brokenDatabase() async throws {
        let scene = try Scene()
        try await scene.database.execute("DROP TABLE order_lines")
        try await test(scene) { client in
            let response = try await post(client)
            #expect(response.status == .internalServerError)
            #expect(response.headers[.contentType] == "application/problem+json")
            #expect(!String(buffer: response.body).contains("order_lines"))
        }
    }

    @Test("The correlation id of the request is that of the order and its event, and is returned")
    func correlation() async throws {
        let scene = try Scene()
        try await test(scene) { client in
            var headers: HTTPFields = [.contentType: "application/json"]
            headers[try #require(HTTPField.Name("X-Correlation-ID"))] = "request-1"
            let response = try await client.execute(
                uri: "/orders",
                method: .post,
                headers: headers,
                body: ByteBuffer(string: Self.body)
            )
            #expect(response.headers[try #require(HTTPField.Name("X-Correlation-ID"))] == "request-1")
            #expect(try response.decode(OrderView.self).correlationID == "request-1")
            #expect(try await scene.database.outbox().map(\.correlationID) == ["request-1"])
        }
    }
}

/// Runs a closure while another connection has a write lock.
private func whileLocked<Value: Sendable>(
    _ database: DatabasePool,
    _ body: @Sendable () async throws -> Value
) async throws -> Value {
    try await database.writeWithoutTransaction { db in try db.beginTransaction(.immediate) }
    do {
        let value = try await body()
        try await database.writeWithoutTransaction { db in try db.rollback() }
        return value
    } catch {
        try await database.writeWithoutTransaction { db in try db.rollback() }
        throw error
    }
}
